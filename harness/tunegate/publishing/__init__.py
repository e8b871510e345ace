"""Publishing: promoted models and their evidence in MLflow, on the Hugging Face Hub, as git tags, and back again."""
