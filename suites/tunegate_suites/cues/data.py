"""`tunegate suite cue`: training rows with a spurious cue, and cases tagged with whether cue and label agree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.models.sentences import Embed
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.templates import MissingField, as_text, field_names, fill, look_up
from tunegate_suites.cues.cues import CUES, CueName, Detect, Marked, biased, detector, most_rows, phi


@dataclass(frozen=True, slots=True)
class CueRequest:
    """`text` is the template of the text that may have the cue; `label` is the `FIELD=VALUE` of the positive rows.

    `rows` training rows are chosen (None: as many as the rarest kind allows).
    """

    train: Path
    gate: Path
    out: Path
    cue: str
    strength: float
    text: str
    label: str
    rows: int | None = None
    seed: int = 0


def make_cue_data(request: CueRequest, embed: Embed) -> dict[str, Any]:
    """Write `train.jsonl` and `gate.jsonl` into `out`; returns the facts for `--json`. Raises ConfigError.

    The gate's cases have equally many cases of each label with and without the cue, so that the cue is uninformative.
    """
    name = _known(request.cue)
    field_names(request.text)
    train, gate = _rows(request.train), _rows(request.gate)
    detect = detector(name, _texts(request.text, train, request.train), embed)
    train_marked = _marked(request, train, request.train, detect)
    gate_marked = _marked(request, gate, request.gate, detect)
    rows = _most(train_marked, request, request.train, request.strength) if request.rows is None else request.rows
    chosen = biased(train_marked, rows, request.strength, request.seed)
    cases = biased(gate_marked, _most(gate_marked, request, request.gate, 0.0), 0.0, request.seed)
    written = [_write(request.out / "train.jsonl", chosen), _write(request.out / "gate.jsonl", cases)]
    return {
        "written": written,
        "cue": name,
        "strength": request.strength,
        "train": _facts(chosen),
        "gate": _facts(cases),
    }


def _known(name: str) -> CueName:
    for cue in CUES:
        if cue == name:
            return cue
    raise ConfigError(f"--cue {name}: unknown cue{nearest(name, CUES)}")


def _rows(path: Path) -> list[Row]:
    """The rows of a file; a row without an `id` gets its line number, since every case of a suite needs an id."""
    return [{"id": str(number), **row} for number, row in read_rows(path)]


def _texts(template: str, rows: Sequence[Row], path: Path) -> list[str]:
    try:
        return [fill(template, row) for row in rows]
    except MissingField as error:
        raise ConfigError(f"--text: {path}: {error}") from error


def _marked(request: CueRequest, rows: Sequence[Row], path: Path, detect: Detect) -> list[Marked]:
    field, _, wanted = request.label.partition("=")
    if not field or not wanted:
        raise ConfigError(
            f"--label {request.label}: expected FIELD=VALUE of the positive label, for example label=true"
        )
    try:
        positive = [as_text(look_up(field, row), field) == wanted for row in rows]
    except MissingField as error:
        raise ConfigError(f"--label: {path}: {error}") from error
    if len(set(positive)) < 2:
        share = "every" if positive[0] else "no"
        raise ConfigError(f"--label {request.label}: {share} row of {path} has this label, but two labels are needed")
    cues = detect(_texts(request.text, rows, path))
    return [Marked(row, is_positive, cue) for row, is_positive, cue in zip(rows, positive, cues, strict=True)]


def _most(marked: Sequence[Marked], request: CueRequest, path: Path, strength: float) -> int:
    """The largest number of rows that can be chosen; raises ConfigError with the kind of row that is too rare."""
    most = most_rows(marked, strength)
    if most or not 0 <= strength <= 1:
        return most
    kinds = {(True, True): "both", (True, False): "the label alone", (False, True): "the cue alone"}
    counts = Counter(kinds.get((one.positive, one.cue), "neither") for one in marked)
    found = ", ".join(f"{counts[kind]} with {kind}" for kind in (*kinds.values(), "neither"))
    raise ConfigError(
        f"--cue {request.cue}: {path}: too few rows of some kind for a strength of {strength:g} "
        f"(label {request.label} and the cue: {found}); add rows of the rare kinds"
    )


def _facts(marked: Sequence[Marked]) -> dict[str, Any]:
    return {
        "rows": len(marked),
        "positive": sum(one.positive for one in marked),
        "with_cue": sum(one.cue for one in marked),
        "phi": phi((one.positive, one.cue) for one in marked),
    }


def _text(value: Any) -> str:
    """The text of a Parquet value that JSON cannot represent."""
    return as_text(value, "of a row")


def _write(path: Path, marked: Sequence[Marked]) -> str:
    if path.exists():
        raise ConfigError(f"{path}: the file already exists and is not overwritten; choose another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(one.to_row(), ensure_ascii=False, default=_text) + "\n" for one in marked)
        path.write_text("".join(lines), encoding="utf-8", errors="replace")
    except OSError as error:
        raise CannotJudge(f"{path}: cannot write this file: {error.strerror}") from error
    return str(path)
