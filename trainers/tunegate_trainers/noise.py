"""What the libraries say in the log of a training and nobody can do anything about; all else gets through."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

NO_BARS = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""The bars of datasets, and of huggingface_hub and transformers."""
SELDOM = {"TQDM_MININTERVAL": "30", "TQDM_MAXINTERVAL": "60"}
"""For the bars that libraries draw without asking, where each redraw is a line more in a log: seconds between two."""

_MISSING = re.compile(r"There were missing keys in the checkpoint model loaded: \[(.*)\]\.")


def hush(*, on_terminal: bool) -> None:
    """Before anything of Hugging Face is imported: no bars for what takes a second, no word of what is right anyway."""
    for name, value in (NO_BARS if on_terminal else NO_BARS | SELDOM).items():
        os.environ.setdefault(name, value)
    logging.getLogger("transformers.trainer_utils").addFilter(_tells_more_than_the_order)


def _tells_more_than_the_order(record: logging.LogRecord) -> bool:
    """Checkpoints are put in the order of their numbers where two were written within a second: as they should be."""
    return not record.getMessage().startswith("mtime may not be reliable")


@contextmanager
def tied_weights_may_be_missing(model: Any) -> Generator[None]:
    """A checkpoint holds weights once that stand in two places of a model; whatever else it lacks is told."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())

    def tells_of_others(record: logging.LogRecord) -> bool:
        missing = _MISSING.fullmatch(record.getMessage())
        return missing is None or not set(re.findall(r"'([^']*)'", missing[1])) <= tied

    logger = logging.getLogger("transformers.trainer")
    logger.addFilter(tells_of_others)
    try:
        yield
    finally:
        logger.removeFilter(tells_of_others)
