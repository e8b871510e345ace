"""Reads the logs of Inspect: `.json`, and `.eval`, a zip archive whose members are compressed by zstd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunegate.cases.case import Prompt
from tunegate.elsewhere.node import Node, leaves, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, number_of, passes, pick
from tunegate.elsewhere.results_file import ResultsFile, node_of, parsed
from tunegate.elsewhere.zip_members import members
from tunegate.exceptions import ConfigError
from tunegate.models.finish_reasons import finish_reason_of
from tunegate.models.model import ImportedScore, Response
from tunegate.reading.chats import Message, without_answer

TOOL = "Inspect"
CHOOSES = ("epoch",)
HEADERS = ("header.json", "_journal/start.json")
"""The archive members with the header; an unfinished log has only the second."""
SAMPLES = "samples/"
ATTACHED = "attachment://"
VERDICTS: Mapping[str, tuple[float, bool | None]] = {
    "C": (1.0, True),
    "I": (0.0, False),
    "P": (0.5, None),
    "N": (0.0, False),
}
"""Correct, incorrect, partially correct, no answer, with the numbers that Inspect gives them."""


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether a document is a log of Inspect."""
    return {"version", "status", "eval"} <= first.keys() and isinstance(first["eval"], dict)


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers of one epoch. A sample that ended with an error has no answer."""
    header, samples = _zipped(file) if file.zipped else _document(file)
    facts = header["eval"]
    chosen = pick("epoch", picks.epoch, sorted((one["epoch"].written for one in samples), key=number_of), file.path)
    answers = tuple(_answer(one) for one in samples if one["epoch"].written == chosen)
    status = found.text if (found := header.get("status")) is not None else "unfinished"
    notes = (
        ()
        if status == "success"
        else (f"{file.path}: the status of this log is {status!r}, so samples may be missing",)
    )
    return Results(TOOL, facts["task"].text.rpartition("/")[2], answers, _told(facts, chosen), notes=notes)


def _document(file: ResultsFile) -> tuple[Node, list[Node]]:
    log = file.document(TOOL)
    samples = log.get("samples")
    if samples is None:
        raise log.error("samples: the log has no samples; run Inspect with `--log-samples`")
    return log, samples.items


def _zipped(file: ResultsFile) -> tuple[Node, list[Node]]:
    header: Node | None = None
    samples: list[Node] = []
    for name, text in members(file.path, lambda name: name in HEADERS or name.startswith(SAMPLES)):
        place = f"{file.path}:{name}"
        node = node_of(parsed(text, place), place, TOOL)
        if name.startswith(SAMPLES):
            samples.append(node)
        elif header is None or name == HEADERS[0]:
            header = node
    if header is None or not samples:
        raise ConfigError(f"{file.path}: a log of Inspect was expected: an archive with {HEADERS[0]} and {SAMPLES}…")
    return header, sorted(samples, key=lambda one: number_of(one["id"].written))


def _told(facts: Node, epoch: str | None) -> dict[str, str]:
    told = {"task": facts["task"].text, "model": facts["model"].text, "epoch": epoch or ""}
    packages = facts.get("packages")
    version = packages.get("inspect_ai") if packages is not None else None
    return told | ({} if version is None else {"version": version.text})


def _answer(sample: Node) -> Imported:
    attached = found.pairs if (found := sample.get("attachments")) is not None else {}
    case_id = sample["id"].written
    given, asked = _question(sample["input"], attached), _asked(sample, attached)
    targets = tuple(text for text in sample["target"].texts if text.strip())
    choices = found.texts if (found := sample.get("choices")) is not None else ()
    return Imported(case_id, asked or given, _response(sample, attached), targets, choices, (given,), sample.place)


def _question(given: Node, attached: Mapping[str, Node]) -> Prompt:
    """The input of a sample: a text, or a chat."""
    if given.is_text:
        return _whole(given.text, attached)
    return tuple(Message(role=turn["role"], content=_whole(turn["content"], attached)) for turn in given.chat)


def _asked(sample: Node, attached: Mapping[str, Node]) -> Prompt | None:
    """What the model saw before its last answer; None if tools were used, because then only the input is a question."""
    turns = sample.get("messages")
    if turns is None or not turns.items:
        return None
    try:
        chat = _question(turns, attached)
        return chat if isinstance(chat, str) else without_answer(chat)[0]
    except ConfigError:
        return None


def _whole(text: str, attached: Mapping[str, Node]) -> str:
    """A text, or the attachment that it names: Inspect stores long texts as attachments."""
    found = attached.get(text.removeprefix(ATTACHED)) if text.startswith(ATTACHED) else None
    return text if found is None else found.text


def _response(sample: Node, attached: Mapping[str, Node]) -> Response:
    scores = tuple(_scores(sample))
    error = sample.get("error")
    if error is not None:
        return no_answer(error["message"].text, scores)
    output = sample["output"]
    if (fault := output.get("error")) is not None:
        return no_answer(fault.written, scores)
    chosen = found.items if (found := output.get("choices")) is not None else []
    if not chosen:
        return no_answer("the output is empty", scores)
    reason = finish_reason_of(None if (found := chosen[0].get("stop_reason")) is None else found.value)
    if reason is None:
        return no_answer(f"the answer ended with stop_reason {chosen[0]['stop_reason'].value!r}", scores)
    text = found.text if (found := output.get("completion")) is not None else _said(chosen[0]["message"]["content"])
    return Response(_whole(text, attached), reason, imported=scores)


def _said(content: Node) -> str:
    """The text of a message; parts that are not text, such as reasoning, are not the answer."""
    if content.is_text:
        return content.text
    parts: Sequence[Node] = [part for part in content.items if part["type"].value == "text"]
    return "\n".join(part["text"].text for part in parts)


def _scores(sample: Node) -> Iterator[ImportedScore]:
    """The scores of a sample by scorer; several scores of one scorer are named `scorer.name`."""
    scorers = sample.get("scores")
    for scorer, score in (scorers.pairs if scorers is not None else {}).items():
        value = score["value"]
        several = leaves(value) if isinstance(value.value, dict) else ((None, value.value),)
        for name, one in several:
            number, passed = VERDICTS.get(one, (None, None)) if isinstance(one, str) else (score_of(one), None)
            if number is not None:
                told = passes(number) if passed is None and not isinstance(one, str) else passed
                yield ImportedScore(scorer if name is None else f"{scorer}.{name}", number, told)
