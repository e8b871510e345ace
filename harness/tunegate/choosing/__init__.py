"""Which model, and which way to fine-tune it."""
