"""What is promoted: the evidence for it, and the registry that keeps it."""
