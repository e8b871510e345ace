"""Answers and tasks of other evaluation tools: their files become answers to judge, and suites."""
