"""Answers and tasks of other evaluation tools, read as answers to judge and as suites."""
