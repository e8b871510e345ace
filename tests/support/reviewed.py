"""A gate to review, with its page; and a walk through the page as a person walks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.bank import write_jsonl
from tunegate.cli import main

Rows = list[dict[str, Any]]


def gate_to_review(
    folder: Path,
    number: int = 100,
    answer: Callable[[int], str] | None = None,
    name: str = "gate",
    asks: Callable[[int], tuple[str, str]] = lambda n: (f"What is {n} + {n}?", str(2 * n)),
    **suite: Any,
) -> Path:
    """The folder of a decided gate of `number` stored answers, all drawn; every tenth is wrong.

    `asks` gives the prompt and the reference of a case, `answer` what was answered.
    """
    said = answer or (lambda n: asks(n)[1] if n % 10 else f"about {2 * n + 1}")
    rows = [{"id": f"q{n}", **dict(zip(("prompt", "reference"), asks(n), strict=True))} for n in range(number)]
    write_jsonl(folder / "cases.jsonl", rows)
    write_jsonl(folder / f"{name}.jsonl", [{"id": f"q{n}", "response": said(n)} for n in range(number)])
    data = {"cases": "cases.jsonl", "checks": ["exact"], "plan": {"draw": number, "accept": number // 2}, **suite}
    (folder / "facts.yaml").write_text(json.dumps(data), encoding="utf-8")
    main(
        [
            "gate",
            "--responses",
            str(folder / f"{name}.jsonl"),
            "--suite",
            str(folder / "facts.yaml"),
            "--run",
            str(folder / name),
        ]
    )
    return folder / name


def page_of(gate: Path, *words: str, out: str = "review.html") -> Path:
    """The page that `tunegate review` writes for a gate."""
    path = gate.parent / out
    assert main(["review", str(gate), "--out", str(path), *words]) == 0
    return path


def data_of(page: Path) -> Any:
    """What the page holds."""
    return json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])


def saved(page: Any, path: Path) -> Path:
    """Press the button, and keep the file that the browser downloads."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").first.click()
    waiting.value.save_as(path)
    return path


def rows_of(path: Path) -> tuple[dict[str, Any], Rows]:
    """The first line of a saved file, and the others."""
    header, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return header, rows


def write_review(path: Path, page: Path, reviewer: str, label: Callable[[dict[str, Any], int], str]) -> Path:
    """What a browser would save: `label` says what the reviewer thinks of an item, in which turn."""
    data = data_of(page)
    rows: Rows = []
    for turn, (place, repeat_of, swapped) in enumerate(data["showings"], start=1):
        item = data["items"][place]
        first, *other = [sha for sha, _ in (item["answers"][::-1] if swapped else item["answers"])]
        rows.append(
            {
                "case_id": item["id"],
                "prompt_sha256": item["prompt_sha256"],
                "response_sha256": first,
                **({"other_sha256": other[0]} if other else {}),
                "reviewer": reviewer,
                "label": label({**item, "left": first}, turn),
                "comment": "",
                "seconds": 1.5,
                "order": turn,
                "repeat_of": repeat_of or None,
            }
        )
    return write_jsonl(path, [{**data["header"], "reviewer": reviewer, "saved": "2026-11-30T10:00:00.000Z"}, *rows])


def right_by_reference(item: dict[str, Any], wrong: Sequence[str] = ()) -> str:
    """The label of a careful reviewer, who is mistaken about the cases in `wrong`."""
    right = item["answers"][0][1] in item["references"]
    return "right" if right != (item["id"] in wrong) else "wrong"
