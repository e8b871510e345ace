"""Publishing promoted models, with their evidence, to MLflow, the Hugging Face Hub and git tags; fetching them back."""
