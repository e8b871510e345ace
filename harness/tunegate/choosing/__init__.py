"""Which model to use, and how to fine-tune it."""
