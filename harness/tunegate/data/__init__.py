"""Training data before any training: their content (`card`, `measure`) and their preparation (`prepare`)."""
