"""The record of a run: what happened, on disk, and what it adds up to."""
