"""`tunegate review merge`: the files of several reviewers as one file of labels, and how far they agree."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.commands import console
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.gates.people import prompt_sha256
from tunegate.gates.recorded_answers import gates_at
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import GateRecord
from tunegate.reviewing.label_file import Texts, label_rows, pair_rows, write_labels
from tunegate.reviewing.merged import Agreement, Label, Merged, merge
from tunegate.reviewing.review_file import CANT_TELL, ReviewFile, read_review
from tunegate.reviewing.review_rubric import PLAIN, PLAIN_PAIRS, ReviewRubric, read_review_rubric
from tunegate.reviewing.sheet import Item, record_sha256, sheet_of, texts_of
from tunegate.stats.agreement import Share

OF_PAGES = ("n", "reviewer", "against", "gate")
"""Options that only a page has."""
SEARCHED = ("*", "tunegate-runs/*", "runs/*")
"""Where the reviewed gate is searched for, from the working folder."""
SHOWN = 8


def merge_files(options: Namespace) -> int:
    """Merge review files; write the labels and the page of the disagreements that the options ask for."""
    for name in OF_PAGES:
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name}: has no effect with merge, because no page of a gate is written; leave it out")
    if options.missing:
        raise ConfigError("--missing: has no effect with merge; leave it out")
    files = [read_review(Path(name)) for name in options.place[1:]]
    if not files:
        raise ConfigError("merge: name the files that reviewers downloaded, for example review-ann.jsonl")
    merged = merge(files)
    gates = _gates(files[0].records, options.of)
    _check_answers(files, gates)
    texts = texts_of(gates)
    kept = _write(Path(options.out), files[0], merged, texts) if options.out else 0
    if options.adjudicate:
        _write_page(options, files, merged, gates, texts)
    elif options.rubric or options.seed is not None:
        raise ConfigError("--rubric and --seed: have no effect with merge without --adjudicate; leave them out")
    if options.json:
        console.show_json(_as_json(files, merged, gates, options))
    else:
        for line in _lines(files, merged, gates, options, kept):
            console.show(line)
    return 0


# --- the record ----------------------------------------------------------------------------------------------------


def _gates(records: Sequence[str], places: Sequence[str] | None) -> list[GateRecord]:
    """The reviewed gates, by their hashes, in order; empty if they are not here. Raises ConfigError if places that the
    user names are of other gates."""
    known: dict[str, GateRecord] = {}
    for gate in _named(places) if places else _searched():
        known.setdefault(record_sha256(gate), gate)
        if all(one in known for one in records):
            break
    if places and (missing := [one for one in records if one not in known]):
        raise ConfigError(
            f"--of {' '.join(places)}: no gate there has the answers that were reviewed ({missing[0][:12]}…)"
        )
    return [known[one] for one in records] if all(one in known for one in records) else []


def _named(places: Sequence[str]) -> Iterator[GateRecord]:
    for place in places:
        yield from gates_at(place)


def _searched() -> Iterator[GateRecord]:
    for pattern in SEARCHED:
        for path in sorted(Path().glob(f"{pattern}/{EVENTS}")):
            try:
                yield from read_run(path.parent).all_gates()
            except TunegateError:
                continue  # nobody reviewed a record that cannot be read


def _check_answers(files: Sequence[ReviewFile], gates: Sequence[GateRecord]) -> None:
    """Refuse labels of answers that the reviewed gates do not have. If the gates are not here, nothing is compared."""
    own = texts_of(gates)
    for one in files:
        for said in one.rows if gates else ():
            case_id, shas = said.key
            if any((case_id, sha) not in own for sha in shas):
                raise ConfigError(
                    f"{one.path}:{said.line}: the label is for another answer to {case_id!r} than that on record"
                )
            if said.prompt_sha256 not in (None, prompt_sha256(own[case_id, shas[0]][1].prompt)):
                raise ConfigError(
                    f"{one.path}:{said.line}: the label is for another prompt of {case_id!r} than that on record"
                )


# --- files ---------------------------------------------------------------------------------------------------------


def _write(path: Path, file: ReviewFile, merged: Merged, texts: Texts) -> int:
    if file.kind == "pairs" and not texts:
        raise ConfigError(
            "--out: the label of a pair needs both texts, but the two gates were not found; name them with --of"
        )
    rows = (pair_rows if file.kind == "pairs" else label_rows)(merged.labels, texts, file.rubric_sha256)
    return write_labels(path, rows)


def _write_page(
    options: Namespace, files: Sequence[ReviewFile], merged: Merged, gates: Sequence[GateRecord], texts: Texts
) -> None:
    from tunegate_reports import write_review

    if not gates:
        raise ConfigError(
            "--adjudicate: the page shows the reviewed gate's answers, but the gate was not found; name it with --of"
        )
    if not merged.disputed:
        raise ConfigError("--adjudicate: the reviewers agree on every answer; leave it out")
    items = [_item(one, files, texts) for one in merged.disputed]
    rubric = _rubric(options.rubric, files[0])
    cases = len({one.case_id for one in items})
    sheet = sheet_of(files[0].records, items, rubric, n=cases, seed=options.seed or 0, settles=True)
    write_review(sheet, Path(options.adjudicate))


def _item(label: Label, files: Sequence[ReviewFile], texts: Texts) -> Item:
    case_id, shas = label.key
    found = [texts[case_id, sha] for sha in shas]
    outcome = found[0][1]
    said = [one.first[label.key] for one in files if label.key in one.first]
    words = {sha: f"answer {sha[:6]}" for sha in shas} if len(shas) > 1 else {}
    notes = [f"{words.get(one.verdict, one.verdict)}{f': {one.comment}' if one.comment else ''}" for one in said]
    return Item(case_id, outcome.prompt, outcome.references, tuple(text for text, _ in found), tuple(notes))


def _rubric(given: str | None, file: ReviewFile) -> ReviewRubric:
    """The rubric of the review; raises ConfigError for another."""
    rubric = read_review_rubric(Path(given)) if given else PLAIN_PAIRS if file.kind == "pairs" else PLAIN
    if rubric.sha256 != file.rubric_sha256:
        raise ConfigError(f"--adjudicate: {file.path} was made with another rubric; name that one with --rubric")
    return rubric


# --- words ---------------------------------------------------------------------------------------------------------


def _lines(
    files: Sequence[ReviewFile], merged: Merged, gates: Sequence[GateRecord], options: Namespace, kept: int
) -> Iterator[str]:
    people = ", ".join(f"{one.reviewer} {len(one.first)}{' (settles)' if one.settles else ''}" for one in files)
    yield f"{len(merged.labels)} {'pairs' if files[0].kind == 'pairs' else 'answers'} judged: {people}"
    if merged.overall is not None:
        yield f"agreement: {_agreement(merged.overall)}"
    for name, one in merged.parts.items():
        yield f"  {name}: {_agreement(one)}"
    for reviewer, share in merged.with_themselves.items():
        same = f"the same verdict on {share.count} of {share.of} shown twice"
        yield f"{reviewer} with themselves: {same} ({_interval(share)})"
    yield ", ".join(f"{count} {word}" for word, count in _counts(files[0], merged, gates).items())
    if merged.disputed:
        ids = ", ".join(one.key[0] for one in merged.disputed[:SHOWN])
        more = f" and {len(merged.disputed) - SHOWN} more" if len(merged.disputed) > SHOWN else ""
        then = options.adjudicate or "a page of them: --adjudicate disagreements.html"
        yield f"disagreements: {len(merged.disputed)} ({ids}{more}); {then}"
    if not gates:
        yield "the reviewed gate was not found, so the labels are not checked and have no texts; name it with --of"
    if options.out:
        yield f"labels: {options.out}{f'; {kept} rows of other answers in it are kept' if kept else ''}"


def _agreement(one: Agreement) -> str:
    low, high = one.interval
    value = "unknown, all verdicts are the same" if one.value is None else f"{one.value:.2f}"
    same = f"the same verdict on {one.same.count} of {one.same.of}"
    return f"{one.name} {value} (95 % interval {low:.2f} to {high:.2f}); {same}"


def _interval(share: Share) -> str:
    low, high = share.interval
    return f"95 % interval {low:.0%} to {high:.0%}"


def _counts(file: ReviewFile, merged: Merged, gates: Sequence[GateRecord]) -> Mapping[str, int]:
    """How many labels say what; of pairs, how often each gate's answer is preferred, if the gates are here."""
    counts = Counter(one.verdict for one in merged.labels)
    if file.kind == "answers":
        return {word: counts[word] for word in ("right", "wrong", CANT_TELL)}
    own = [texts_of([gate]).keys() for gate in gates]
    named = [f"prefer {gate.model}" for gate in gates] if len({gate.model for gate in gates}) == 2 else [
        "prefer the first", "prefer the second"
    ]  # fmt: skip
    preferred = {
        name: sum((one.key[0], one.verdict) in keys for one in merged.labels)
        for name, keys in zip(named, own, strict=False)
    }
    return {**preferred, CANT_TELL: counts[CANT_TELL]}


def _as_json(
    files: Sequence[ReviewFile], merged: Merged, gates: Sequence[GateRecord], options: Namespace
) -> dict[str, Any]:
    return {
        "kind": files[0].kind,
        "record_sha256": list(files[0].records),
        "rubric_sha256": files[0].rubric_sha256,
        "record_is_here": bool(gates),
        "reviewers": {one.reviewer: len(one.first) for one in files},
        "answers": len(merged.labels),
        "agreement": None if merged.overall is None else _figures(merged.overall),
        "items": {name: _figures(one) for name, one in merged.parts.items()},
        "with_themselves": {name: {"count": one.count, "of": one.of} for name, one in merged.with_themselves.items()},
        "counts": dict(_counts(files[0], merged, gates)),
        "disagreements": [one.key[0] for one in merged.disputed],
        "labels": options.out,
        "page": options.adjudicate,
    }


def _figures(one: Agreement) -> dict[str, Any]:
    return {**asdict(one), "interval": list(one.interval)}
