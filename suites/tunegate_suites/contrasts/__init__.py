"""Contrast suites: groups of cases made by rules, in which an answer must depend on what matters and nothing else."""
