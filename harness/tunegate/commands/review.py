"""`tunegate review`: the page on which people judge a gate's answers, and what their files say together."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from tunegate.commands import console
from tunegate.commands.review_merge import merge_files
from tunegate.exceptions import ConfigError, nearest
from tunegate.gates.recorded_answers import gates_at
from tunegate.record.record import GateRecord
from tunegate.reviewing.review_rubric import PLAIN, PLAIN_PAIRS, ReviewRubric, read_review_rubric
from tunegate.reviewing.sheet import Item, Sheet, items_of, pairs_of, record_sha256, sheet_of

MERGE = "merge"
OF_MERGE = ("of", "adjudicate")
"""Options that only `tunegate review merge` has."""
PAGE = "review.html"
N = 100
Render = Callable[[Sheet], str]


def review(options: Namespace) -> int:
    """Write the page of a review."""
    import tunegate_reports as reports

    if options.place[0] == MERGE:
        return merge_files(options)
    for name in OF_MERGE:
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name}: has no effect without merge: tunegate review merge FILE... --{name} ...")
    place, sheet, notes = _sheet(options, reports.render_review)
    out = Path(options.out or PAGE)
    size = reports.write_review(sheet, out)
    told = {
        "page": str(out),
        "bytes": size,
        "gate": place,
        "cases": len({one.case_id for one in sheet.items}),
        "answers": len(sheet.items),
        "repeats": sheet.repeats,
        "kind": sheet.kind,
        **{name: sheet.to_json()["header"][name] for name in ("record_sha256", "rubric_sha256", "page_sha256")},
    }
    if options.json:
        console.show_json(told)
        return 0
    what = "pairs of answers" if sheet.kind == "pairs" else "answers"
    console.show(
        f"{out}: {len(sheet.items)} {what} of gate {place}, {sheet.repeats} of them shown twice; {size / 1e3:.0f} kB"
    )
    for note in notes:
        console.show(note)
    console.show("open it in a browser: it works offline, saves your progress, and gives you a file to download")
    console.show("then: tunegate review merge FILE... --out labels.jsonl")
    return 0


def _sheet(options: Namespace, render: Render) -> tuple[str, Sheet, Sequence[str]]:
    """The label of the gate, the sheet, and notes; raises ConfigError where the page would be too large."""
    [place, *more] = options.place
    if more:
        raise ConfigError(f"{more[0]}: one run or gate was expected; name the second with --against")
    gate = _gate_of(place, options.gate, only_missing=options.missing)
    rubric = read_review_rubric(Path(options.rubric)) if options.rubric else None
    if options.against is not None:
        if options.missing:
            raise ConfigError("--missing: has no effect with --against; leave one of them out")
        other = _gate_of(options.against, options.gate)
        items, equal = pairs_of(gate, other)
        records = [record_sha256(gate), record_sha256(other)]
        notes = [f"{equal} cases are left out, because both answers are the same"] if equal else []
        nothing = "both gave the same answer to every case, so there is nothing to compare"
    else:
        items, records, notes = items_of(gate, only_missing=options.missing), [record_sha256(gate)], []
        nothing = "no answer of this gate waits for a label" if options.missing else "the gate has no answers"
    if not items:
        raise ConfigError(f"{place}: {nothing}")
    rubric = rubric or (PLAIN if options.against is None else PLAIN_PAIRS)
    wanted = options.n if options.n is not None else len(items) if options.missing else N
    return gate.key, _that_fits(records, items, rubric, wanted, options, render), notes


def _that_fits(
    records: Sequence[str], items: Sequence[Item], rubric: ReviewRubric, n: int, options: Namespace, render: Render
) -> Sheet:
    from tunegate_reports import MAX_REVIEW_BYTES, size_of

    def sheet(number: int) -> Sheet:
        return sheet_of(records, items, rubric, n=number, seed=options.seed or 0, reviewer=options.reviewer or "")

    def size(number: int) -> int:
        return size_of(render(sheet(number)))

    wanted = min(n, len({one.case_id for one in items})) if n > 0 else n
    whole = sheet(wanted)
    if (needed := size(wanted)) <= MAX_REVIEW_BYTES:
        return whole
    fits, too_many = 0, wanted
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if size(middle) <= MAX_REVIEW_BYTES else (fits, middle)
    advice = f"--n {fits} fits" if fits else "the first answer alone is larger"
    raise ConfigError(
        f"--n {wanted}: the page would be {needed / 1e3:.0f} kB, and at most {MAX_REVIEW_BYTES / 1e3:.0f} kB are "
        f"allowed; {advice}"
    )


def _gate_of(place: str, name: str | None, *, only_missing: bool = False) -> GateRecord:
    """The gate that is reviewed; raises ConfigError if there are several, with their names."""
    gates = {gate.key: gate for gate in gates_at(place)}
    if name is not None:
        if name not in gates:
            raise ConfigError(f"--gate {name}: {place} has the gates {', '.join(gates)}{nearest(name, gates)}")
        return gates[name]
    waiting = [gate for gate in gates.values() if gate.awaits_labels]
    found = waiting if only_missing and waiting else list(gates.values())
    if len(found) > 1:
        first = shlex.quote(found[0].key)
        raise ConfigError(f"{place}: it has several gates ({', '.join(gates)}); name one, for example --gate {first}")
    return found[0]
