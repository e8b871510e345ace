"""Reads the JSONL log of OpenAI's evals (`oaieval … --record_path FILE`): a specification, events, a final report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunegate.elsewhere.node import Node, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, number_of, passes
from tunegate.elsewhere.results_file import ResultsFile
from tunegate.models.model import ImportedScore, Response

TOOL = "OpenAI evals"
CHOOSES = ()


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether the first line is the specification of a run."""
    spec = first.get("spec")
    return isinstance(spec, dict) and {"eval_name", "completion_fns"} <= spec.keys()  # pyright: ignore[reportUnknownMemberType]


@dataclass(slots=True)
class _Sample:
    """The events of one sample, by type."""

    events: dict[str, list[Node]] = field(default_factory=dict[str, list[Node]])

    def of(self, kind: str) -> list[Node]:
        return self.events.get(kind, [])


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers by sample, in the order of their numbers: threads write the events in any order."""
    spec: Node | None = None
    samples: dict[str, _Sample] = {}
    for row in file.lines(TOOL):
        if (found := row.get("spec")) is not None:
            spec = found
        elif row.get("type") is not None:
            sample = samples.setdefault(row["sample_id"].text, _Sample())
            sample.events.setdefault(row["type"].text, []).append(row)
    if spec is None:
        raise file.document(TOOL).error("spec: the key is missing")
    ids = sorted(samples, key=number_of)
    told = {
        "model": ", ".join(spec["completion_fns"].texts),
        "eval": spec["eval_name"].text,
        "run": spec["run_id"].text,
    }
    answers = tuple(answer for case_id in ids if (answer := _answer(case_id, samples[case_id])) is not None)
    return Results(TOOL, spec["base_eval"].text, answers, told)


def _answer(case_id: str, sample: _Sample) -> Imported | None:
    """The answer to a sample; None if its events did not ask a model."""
    asked, errors = sample.of("sampling"), sample.of("error")
    first = next(iter([*asked, *errors, *sample.of("match")]), None)
    if first is None:
        return None
    if len(asked) > 1:
        raise asked[1]["type"].error(
            f"one `sampling` event was expected for {case_id!r}, got {len(asked)}: an eval that asks several times, or "
            "a model as its judge, has no single answer"
        )
    scores = _scores(sample)
    if errors:
        message = errors[0]["data"].get("message")
        response = no_answer("an error without a message" if message is None else message.written, scores)
    elif not asked:
        response = no_answer("there is no `sampling` event", scores)
    else:
        response = _response(asked[0]["data"]["sampled"], scores)
    prompt = asked[0]["data"]["prompt"].prompt if asked else None
    return Imported(case_id, prompt, response, _references(sample), place=first.place)


def _response(sampled: Node, scores: tuple[ImportedScore, ...]) -> Response:
    texts = sampled.texts
    if len(texts) != 1:
        raise sampled.error(f"one answer was expected, got {len(texts)}")
    return Response(texts[0], imported=scores)


def _references(sample: _Sample) -> tuple[str, ...]:
    """The expected answers: from a `match` event, or from the sample as it was read."""
    for event, keys in ((sample.of("match"), ("expected",)), (sample.of("raw_sample"), ("ideal", "expected"))):
        for key in keys if event else ():
            found = event[0]["data"].get(key)
            if found is not None and isinstance(found.value, str | int | float | list):
                return found.texts
    return ()


def _scores(sample: _Sample) -> tuple[ImportedScore, ...]:
    """`correct` of a `match` event, and the numbers of the metrics."""
    values: dict[str, object] = {}
    matches: Sequence[Node] = sample.of("match")
    if matches and (correct := matches[0]["data"].get("correct")) is not None:
        values["correct"] = correct.value
    for event in sample.of("metrics"):
        values |= {name: one.value for name, one in event["data"].pairs.items()}
    scores = {name: score_of(value) for name, value in values.items()}
    return tuple(ImportedScore(name, one, passes(one)) for name, one in scores.items() if one is not None)
