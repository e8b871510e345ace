"""Hostile texts of 100,000 characters, and twice as long: linear work takes twice as long, quadratic four times."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.support.check_helpers import HUGE, ask
from tunegate.text.pii import find_pii
from tunegate_suites.judges.prompt import defused

CALLS: dict[str, Callable[[str], object]] = {
    "defused": defused,
    "find_pii": find_pii,
    "exact": lambda text: ask("exact", text, "BLM"),
    "json": lambda text: ask("json", text, "BLM"),
    "rougeL": lambda text: ask({"rougeL": 0.9}, text, "the BLM gene"),
    "errors": lambda text: ask({"errors": {"report": ["repetition", "misspelling", "prompt_echo"]}}, text, "BLM"),
}
TEXTS = HUGE | {"digits": "1" * 100_000, "mail": "a@" * 50_000, "tokens": "<a" * 50_000}


def main() -> None:
    for name, call in CALLS.items():
        call("warm up")
        once, twice = ({kind: seconds(call, text * n) for kind, text in TEXTS.items()} for n in (1, 2))
        worst = max(TEXTS, key=twice.__getitem__)
        print(f"{name}: at most {twice[worst]:.2f} s ({worst}), {twice[worst] / once[worst]:.1f} times half of it")


def seconds(call: Callable[[str], object], text: str) -> float:
    """The quickest of three: the others waited for the machine."""
    took: list[float] = []
    for _ in range(3):
        started = time.perf_counter()
        call(text)
        took.append(time.perf_counter() - started)
    return min(took)
