"""Suppresses messages of libraries that users cannot act on; all others are shown."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

NO_BARS = {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""The variables that disable the bars of datasets, and of huggingface_hub and transformers."""
SELDOM = {"TQDM_MININTERVAL": "30", "TQDM_MAXINTERVAL": "60"}
"""Seconds between two redraws of unavoidable bars: in a log, each redraw is another line."""

_MISSING = re.compile(r"There were missing keys in the checkpoint model loaded: \[(.*)\]\.")


def hush(*, on_terminal: bool) -> None:
    """Before importing Hugging Face packages: disable bars for short work, and warnings about correct behaviour."""
    for name, value in (NO_BARS if on_terminal else NO_BARS | SELDOM).items():
        os.environ.setdefault(name, value)
    logging.getLogger("transformers.trainer_utils").addFilter(_tells_more_than_the_order)


def _tells_more_than_the_order(record: logging.LogRecord) -> bool:
    """Drop the warning that checkpoints of the same second are ordered by number, which is correct."""
    return not record.getMessage().startswith("mtime may not be reliable")


@contextmanager
def tied_weights_may_be_missing(model: Any) -> Generator[None]:
    """A checkpoint contains tied weights once; warnings about other missing weights are shown."""
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
