"""Training data from a model's answers to prompts: asked, filtered, and never equal to a case of a suite."""
