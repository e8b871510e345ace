"""Contrast suites: groups of cases made by rules, in which an answer must follow what matters, and nothing else."""
