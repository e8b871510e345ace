"""Training data before any training: what they hold (`card`, `measure`), and what is done to them (`prepare`)."""
