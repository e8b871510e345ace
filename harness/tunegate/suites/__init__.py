"""A suite: cases, checks and a plan, read from a file."""
