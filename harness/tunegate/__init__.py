"""Tunegate: acceptance sampling for fine-tuned language models.

A gate draws cases from a suite (`suites`, `cases`), asks the model (`models`, `runner`), judges the answers (`checks`,
`outcomes`), and decides by its sampling plan (`sampling`, `gate`). A pipeline (`pipeline`, `retrain`) trains a stage
until its gates pass; everything is kept in an append-only record (`record`), and only what passed is promoted
(`registry`).
"""

__version__ = "0.1.0"
