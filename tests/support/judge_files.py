"""A suite of 40 cases that a local judge decides, and the judge's admission, as files in the working folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.support.bank import write_jsonl
from tests.support.check_helpers import AGREES
from tests.support.tiny_model import make_tiny_model
from tunegate.checks.judge_admission import default_path, write_admission
from tunegate_suites import build_check

RUBRIC = "criterion: Is the answer right?\nlabels: [yes, no]\n"
GATE = (
    "cases: cases.jsonl\nchecks: [{judge: judge.yaml}]\nplan: {draw: 40, accept: 36}\ngenerate: {max_new_tokens: 8}\n"
)
OPTIONS = {"rubric": "rubric.yaml", "accept": ["yes"]}


def write_cases() -> None:
    """The cases of the suite."""
    rows = [{"id": f"c{n:02d}", "prompt": f"Question {n}?" * (1 + n % 3)} for n in range(40)]
    write_jsonl(Path("cases.jsonl"), [{**row, "reference": f"answer {row['id']}"} for row in rows])


def write_judge(model: str, name: str = "judge.yaml") -> None:
    """A judge file, and the rubric beside it."""
    Path("rubric.yaml").write_text(RUBRIC)
    Path(name).write_text(json.dumps({**OPTIONS, "model": model}))


def write_panel(models: Sequence[str]) -> None:
    """A panel instead of the judge, with a member for each model; each has a rubric of its own."""
    for number, model in enumerate(models):
        Path(f"rubric{number}.yaml").write_text(RUBRIC.replace("right", f"right, by measure {number}"))
        Path(f"member{number}.yaml").write_text(
            json.dumps({**OPTIONS, "rubric": f"rubric{number}.yaml", "model": model})
        )
    Path("judge.yaml").write_text(json.dumps({"panel": [f"member{number}.yaml" for number in range(len(models))]}))


def admit() -> None:
    """Write the suite, and the record of its judge as `tunegate judge` would, had it agreed with people."""
    Path("judged.yaml").write_text(GATE)
    sha256 = build_check({"judge": "judge.yaml"}, Path()).judge_sha256  # type: ignore[attr-defined]
    write_admission(default_path(sha256), sha256, AGREES)


def write_labels() -> None:
    """A hundred answers with people's labels."""
    rows = [{"question": f"q{n}?", "response": f"an answer {n}", "human_correct": n % 3 > 0} for n in range(100)]
    write_jsonl(Path("labels.jsonl"), rows)


def make_tiny_judge(folder: Path, *, seed: int = 1) -> Path:
    """A tiny model whose prompts may be as long as those of a judge."""
    config = make_tiny_model(folder, seed=seed) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": 4096}))
    return folder
