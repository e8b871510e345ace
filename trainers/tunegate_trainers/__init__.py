"""Training methods: one thin file per method on top of TRL and PEFT. Importing this package imports neither.

`validate` checks a stage's settings before any training; `process.main` runs one training.
"""

from tunegate_trainers.settings import METHODS, validate

__all__ = ["METHODS", "validate"]
