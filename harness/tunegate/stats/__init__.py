"""Statistics of draws and of pairs of models: pure functions without files or models."""
