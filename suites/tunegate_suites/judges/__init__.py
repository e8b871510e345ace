"""Judges: an LLM with a rubric, a comparison, a panel; and the measurement that admits them."""
