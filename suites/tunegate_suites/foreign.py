"""Running code that is not ours: a metric of the user's, a script of the `evaluate` library."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TextIO


def output_aside() -> redirect_stdout[TextIO]:
    """Send what foreign code prints to stderr: our own output may have to be a single JSON object."""
    return redirect_stdout(sys.stderr)
