"""Numbers about draws and pairs of models: pure functions, no file and no model."""
