"""What a pipeline file says, read and checked."""
