"""Judges: an LLM by a rubric, a comparison, a panel; and what is measured before one may decide."""
