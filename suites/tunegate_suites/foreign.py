"""Running third-party code: a user's metric, or a script of the `evaluate` library."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TextIO


def output_aside() -> redirect_stdout[TextIO]:
    """Send the output of third-party code to stderr: Tunegate's own output may have to be a single JSON object."""
    return redirect_stdout(sys.stderr)
