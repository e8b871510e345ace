"""Training methods: one thin file per method on top of TRL and PEFT. Importing this package imports neither.

`validate` says what is wrong with a stage's settings before anything is trained; `process.main` runs one training.
"""

from tunegate_trainers.settings import METHODS, validate

__all__ = ["METHODS", "validate"]
