"""Training methods: one thin file per method on top of TRL and PEFT. Importing this package imports neither.

`python -m tunegate_trainers job.json result.json` runs one training; `validate_args` and `validate_peft` say what is
wrong with a stage's settings before anything is trained.
"""

from tunegate_trainers.settings import METHODS, validate_args, validate_peft

__all__ = ["METHODS", "validate_args", "validate_peft"]
