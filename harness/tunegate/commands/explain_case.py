"""`tunegate explain-case RUN CASE`: why the model gave this answer, from its weights; in words, and as one page."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tunegate.attribution.explanation import METHODS, Explanation, Method
from tunegate.attribution.stored_case import StoredCase, find_case, stored_cases
from tunegate.attribution.words import in_words, quoted, strip_words
from tunegate.checks.outcome import Verdict
from tunegate.commands import console
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.recorded_answers import attempt_named, read_record
from tunegate.record.record import AttemptRecord, RunRecord

if TYPE_CHECKING:
    from tunegate.models.model import Model

SHOWN_MISSES = 20


WritePage = Callable[[Sequence[Explanation], Path], None]


def explain_case(options: Namespace, write: WritePage) -> int:
    """Explain one recorded answer; without a case, list the missed ones. The exit code is 0 if it is explained."""
    run, attempt = _read(options.run)
    if options.case is None:
        return _list_misses(options, run, attempt)
    stored = find_case(run, attempt, options.case)
    methods = tuple(dict.fromkeys(options.method or METHODS))
    out = Path(options.out) if options.out else run.folder / f"explain-{_slug(options.case)}.html"
    with console.Bar() as bar:
        from tunegate.attribution.explain import explain

        def explained(case: StoredCase, model: Model) -> Explanation:
            return explain(model, case, cast("Sequence[Method]", methods), seed=options.seed or 0, progress=bar.update)

        found = [explained(stored, _open(stored, options.model))]
        if options.against is not None:
            place = run.start["model"] if options.against == "base" and run.stages else options.against
            expected = run.start["model_sha256"] if options.against == "base" and run.stages else None
            other = replace(stored, place=place, model_sha256=expected, by_another=True)
            found.append(explained(other, _open(other, None)))
    write(found, out)
    if options.json:
        console.show_json({"case": options.case, "explanations": [one.to_json() for one in found], "page": str(out)})
    else:
        _print(stored, found, out)
    return 0


def _read(spec: str) -> tuple[RunRecord, AttemptRecord | None]:
    run, stage = read_record(spec)
    return run, attempt_named(run, stage, spec) if run.stages else None


def _list_misses(options: Namespace, run: RunRecord, attempt: AttemptRecord | None) -> int:
    """The missed cases that can be explained, those with a prompt, flips first."""
    flags = ("--out", "--method", "--against", "--model", "--seed")
    for flag in flags:
        if getattr(options, flag.removeprefix("--")) is not None:
            raise ConfigError(f"{flag}: has no effect without a case; name one")
    missed = [one for one in stored_cases(run, attempt) if one.verdict is Verdict.FAIL and one.has_prompt]
    if options.json:
        console.show_json({"missed": [{"case": one.case.id, "gate": one.gate, "flip": one.flipped} for one in missed]})
        return 0
    cases = {0: "no missed case", 1: "one missed case"}.get(len(missed), f"{len(missed)} missed cases")
    console.show(f"{cases}; explain one: tunegate explain-case {options.run} CASE" if missed else cases)
    for one in missed[:SHOWN_MISSES]:
        flip = ", right before the training" if one.flipped else ""
        console.show(f"  {one.case.id} ({one.gate}{flip}): {quoted(one.answer)}")
    if len(missed) > SHOWN_MISSES:
        console.show(f"  and {len(missed) - SHOWN_MISSES} more: --json lists all of them")
    return 0


def _open(stored: StoredCase, place: str | None) -> Model:
    """Open the weights; raises Tampered unless they are those that answered."""
    from tunegate.models.open_model import is_server, open_model, unconverted_sha256

    spec = place or stored.place
    if stored.model_sha256 is None and not stored.by_another:
        raise ConfigError(
            f"case {stored.case.id!r}: the record names no weights, because a server, a function or stored answers "
            "gave the answer; gate a model on this machine to explain its answers"
        )
    if is_server(spec):
        raise ConfigError(
            f"model {spec!r}: an explanation needs the weights, which a server does not give; name a folder"
        )
    if stored.model_sha256 is not None and (found := unconverted_sha256(spec)) != stored.model_sha256:
        raise Tampered(
            f"model {spec!r}: its fingerprint is {str(found)[:12]}…, but {stored.model_sha256[:12]}… answered case "
            f"{stored.case.id!r}; restore these weights, or say with --model where they are now"
        )
    dtype = stored.dtype if stored.dtype in ("float32", "bfloat16", "float16") else "auto"
    return open_model(spec, dtype=dtype)


def _print(stored: StoredCase, found: Sequence[Explanation], out: Path) -> None:
    """What was found, in words; then one line for each method, with its deletion test."""
    console.show(f"case {stored.case.id} of gate {stored.gate}: {stored.verdict}")
    console.show(f"answer: {quoted(stored.answer)}; reference: {quoted(stored.reference or '')}")
    for one in found:
        if len(found) > 1:
            console.show(f"model {one.model}")
        for line in in_words(one):
            console.show(line)
        for strip in one.strips:
            console.show(f"  {strip_words(one, strip)}")
    console.show(f"page: {out}")


def _slug(case_id: str) -> str:
    return re.sub(r"[^\w.-]+", "-", case_id)[:60].strip("-.") or "case"
