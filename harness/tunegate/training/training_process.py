"""`python -m tunegate.training.training_process job.json result.json [SHA-256 of job.json]`: one training, one process.

With `--serve DESCRIPTOR` it is the server from which trainings are forked (`training_server.py`).

It connects trainers and suites, which do not import each other: a training may use a suite's checks as its reward, or
watch a small draw of its gates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate.standard_streams import die_with_standard_input
from tunegate.training.trainer import HELD
from tunegate.training.training_server import SERVE, serve


def open_suite(ref: Mapping[str, Any]) -> Any:
    """The `Suite` that a job refers to (`pipeline.SuiteRef` as JSON); raises Tampered if it changed."""
    from tunegate.pipeline.pipeline import SuiteRef
    from tunegate.pipeline.pipeline_file import open_suite_ref
    from tunegate_suites import build_check

    return open_suite_ref(SuiteRef(**ref), build_check)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 with a model, 1 without a model, 130 when interrupted."""
    if len(arguments) == 2 and arguments[0] == SERVE:
        return serve(int(arguments[1]), _prepare, main)
    if len(arguments) not in (2, 3):
        print(
            "usage: python -m tunegate.training.training_process job.json result.json [SHA-256 of job.json]",
            file=sys.stderr,
        )
        return 2
    from tunegate_trainers import process

    if HELD in os.environ:
        die_with_standard_input()
    process.set_environment()
    try:
        return process.main(Path(arguments[0]), Path(arguments[1]), open_suite, *arguments[2:])
    except KeyboardInterrupt:
        return 130


def _prepare() -> None:
    """What every training does before it reads its job."""
    from tunegate_trainers import process

    process.set_environment()
    process.import_libraries()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
