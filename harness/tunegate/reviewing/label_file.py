"""The file of labels that a merge writes, for `tunegate report --labels`, `tunegate judge` and the check `human`.

A label is about an answer's bytes: rows of other answers in an existing file are kept, so that one file holds the
labels of every model that was reviewed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Outcome
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.people import prompt_sha256_of, prompt_text
from tunegate.reading.rows import Row, read_rows
from tunegate.reviewing.merged import Label
from tunegate.reviewing.review_file import CANT_TELL
from tunegate.whole_files import write_whole

Texts = Mapping[tuple[str, str], tuple[str, Outcome]]
"""The text and the outcome of each answer of the reviewed gates, by case id and hash."""


def label_rows(labels: Sequence[Label], texts: Texts, rubric_sha256: str) -> list[Row]:
    """A row for each labelled answer. If the record is known, it has the texts, which `tunegate judge` needs."""
    rows: list[Row] = []
    for one in labels:
        case_id, (sha256,) = one.key
        about: dict[str, Any] = {"case_id": case_id, "response_sha256": sha256, "label": one.verdict}
        if one.prompt_sha256 is not None:
            about["prompt_sha256"] = one.prompt_sha256
        found = texts.get((case_id, sha256))
        rows.append({**about, **_facts(one, rubric_sha256), **({} if found is None else _texts(*found))})
    return rows


def pair_rows(labels: Sequence[Label], texts: Texts, rubric_sha256: str) -> list[Row]:
    """A row for each pair that people decided, for a pairwise judge: `label` is 1 or 2."""
    rows: list[Row] = []
    for one in labels:
        case_id, shas = one.key
        if one.verdict == CANT_TELL:
            continue
        (first, outcome), (second, _) = (texts[case_id, sha] for sha in shas)
        both = {"prompt": prompt_text(outcome.prompt), "output_1": first, "output_2": second}
        rows.append({"case_id": case_id, "label": 1 + shas.index(one.verdict), **both, **_facts(one, rubric_sha256)})
    return rows


def _facts(one: Label, rubric_sha256: str) -> dict[str, Any]:
    return {
        "reviewers": sum(one.verdicts.values()),
        **({"settled": True} if one.settled else {}),
        "labelled": one.labelled,
        "rubric_sha256": rubric_sha256,
    }


def _texts(text: str, outcome: Outcome) -> dict[str, Any]:
    group = {} if outcome.group is None else {"group": outcome.group}
    return {"prompt": prompt_text(outcome.prompt), "response": text, "references": list(outcome.references), **group}


def write_labels(path: Path, rows: Sequence[Row]) -> int:
    """Write rows of labels, after those of other answers that the file has; returns how many it keeps.

    Raises ConfigError if the file has another label for one of these answers, CannotJudge if it cannot be written.
    """
    fresh = {_about(row): row for row in rows}
    kept = list(_others(path, fresh)) if path.exists() else []
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in (*kept, *rows))
    try:
        write_whole(path, text)
    except OSError as error:
        raise CannotJudge(f"{path}: the labels cannot be written: {error.strerror}") from error
    return len(kept)


def _others(path: Path, fresh: Mapping[tuple[object, ...], Row]) -> Iterator[Row]:
    for number, row in read_rows(path):
        now = fresh.get(_about(row))
        if now is None:
            yield row
        elif row.get("label") not in (CANT_TELL, now["label"]):
            raise ConfigError(
                f"{path}:{number}: the label of an answer to {row.get('case_id')!r} is {row.get('label')!r}, but the "
                f"merged files give {now['label']!r}; remove the row, or name another file with --out"
            )


def _about(row: Row) -> tuple[object, ...]:
    """Which answer, or which pair of texts, to which prompt a row is about."""
    return prompt_sha256_of(row), *(row.get(name) for name in ("case_id", "response_sha256", "output_1", "output_2"))
