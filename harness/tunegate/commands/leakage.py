"""`tunegate leakage`: compares training files with suites, without a pipeline."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.commands.console import Bar, show, show_json
from tunegate.exceptions import ConfigError
from tunegate.executors.executor_spec import executor_of
from tunegate.leaks.leakage import Leak, Looking, compare, excerpt
from tunegate.leaks.texts import TrainRow, row_as_it_is
from tunegate.models.sentences import Embed
from tunegate.reading.rows import MAX_BYTES_BY_LINE, read_rows
from tunegate.suites.suite import Suite

WORST, WIDTH = 4, 160


def leakage(options: Namespace, suites: Sequence[Suite], embed: Embed | None) -> int:
    """Compare the training files with the suites; exit code 0 without leaks, 3 with leaks."""
    names = [suite.name for suite in suites]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"--suite: two suites are named {Counter(names).most_common(1)[0][0]!r}; give each suite once"
        )
    held = embed is not None  # a comparison by meaning holds all rows in memory
    rows = _RowsOfFiles(list(dict.fromkeys(options.train)), None if held else MAX_BYTES_BY_LINE)
    in_order = executor_of(options.executor).in_order
    with Bar() as bar:
        leaks = compare(rows, suites, Looking(embed, options.embed or 1.0, bar.update, in_order))
    verdict = Verdict.INVALID if leaks else Verdict.PASS
    cases = sum(len(suite.cases) for suite in suites)
    if options.json:
        found = [{key: value for key, value in asdict(leak).items() if key != "stage"} for leak in leaks]
        show_json({"verdict": verdict, "rows": rows.read, "cases": cases, "leaks": found})
    else:
        _show(leaks, rows.read, cases)
    return verdict.exit_code


@dataclass(slots=True)
class _RowsOfFiles:
    """The rows of training files, read again each time; `read` is the number of rows that were read last."""

    files: Sequence[str]
    most_by_line: int | None
    read: int = 0

    def __iter__(self) -> Iterator[TrainRow]:
        read = 0
        for file in self.files:
            for number, row in read_rows(Path(file), most_by_line=self.most_by_line):
                read += 1
                yield row_as_it_is(file, number, row)
        self.read = read


def _show(leaks: Sequence[Leak], rows: int, cases: int) -> None:
    """At most 12 lines: the number of leaks, their kinds, and the worst pairs."""
    if not leaks:
        show(f"no leaks: compared {rows} training rows with {cases} cases")
        return
    leaked_rows = len({(leak.train_file, leak.train_row) for leak in leaks})
    leaked_cases = len({(leak.suite, leak.case_id) for leak in leaks})
    show(f"INVALID: {leaked_rows} of {rows} training rows leak {leaked_cases} of {cases} cases")
    kinds = Counter(leak.kind for leak in leaks)
    show("pairs found: " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()))
    for leak in _worst(leaks):
        show(f"{leak.train_file}:{leak.train_row} = {leak.suite}/{leak.case_id} ({leak.kind} {leak.similarity:.2f})")
        if leak.kind == "exact":
            show(f"  both: {_trimmed(leak.case_text)}")
        else:
            show(f"  row: {_trimmed(excerpt(leak.train_text, leak.case_text, WIDTH))}")
            show(f"  case: {_trimmed(leak.case_text)}")


def _worst(leaks: Sequence[Leak]) -> list[Leak]:
    """The most similar pair of each kind, then the most similar of all; each case once; as many as fit in 12 lines."""
    ranked = sorted(leaks, key=lambda leak: -leak.similarity)
    by_kind: dict[str, Leak] = {}
    by_case: dict[tuple[str, str], Leak] = {}
    for leak in ranked:
        by_kind.setdefault(leak.kind, leak)
    for leak in (*by_kind.values(), *ranked):
        by_case.setdefault((leak.suite, leak.case_id), leak)
    shown = list(by_case.values())[:WORST]
    return shown if sum(2 if leak.kind == "exact" else 3 for leak in shown) <= 10 else shown[: WORST - 1]


def _trimmed(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
