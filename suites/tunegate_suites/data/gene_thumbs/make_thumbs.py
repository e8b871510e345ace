"""Write thumbs.jsonl, for kto: of each pair of ../gene_expert/pairs.jsonl one answer, the better one with a thumb up,
or the worse one with a thumb down, in turn. Run `python make_thumbs.py` in this folder; it gives the same file again.
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent
KEPT = ("id", "question", "context", "task")


def main() -> None:
    """Every pair gives one row: kto is for answers that have no partner."""
    lines = (HERE.parent / "gene_expert" / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [thumb(json.loads(line), up=number % 2 == 0) for number, line in enumerate(lines)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / "thumbs.jsonl").write_text(text, encoding="utf-8")


def thumb(pair: dict[str, str], *, up: bool) -> dict[str, object]:
    """One answer of a pair, with `label` true for the better one."""
    kept: dict[str, object] = {key: pair[key] for key in KEPT}
    return {**kept, "completion": pair["chosen"] if up else pair["rejected"], "label": up}


if __name__ == "__main__":
    main()
