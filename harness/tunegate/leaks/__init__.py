"""Leaked tests: training data that are also in a gate's suite, even in disguise."""
