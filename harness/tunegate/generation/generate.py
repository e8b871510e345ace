"""Asks a model for answers to prompts, chooses rows among them, and writes the rows with their card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunegate import __version__
from tunegate.cases.case import Case, sample_id
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.ask import generated
from tunegate.generation.answers_file import SUFFIX, AnswersFile
from tunegate.generation.card import card_markdown
from tunegate.generation.choose import LONGER, NO_TAG, Candidate, Chosen, Filters, choose, mostly_cut_off, row_of
from tunegate.generation.diversity import diversity
from tunegate.hashes import ascii_json, sha256_hex, sha256_of
from tunegate.models.blocks import Block, expect
from tunegate.models.model import GenerationSettings, Model, Response, answers_the_same, check_weights
from tunegate.models.timing import judge_opener
from tunegate.progress import Progress
from tunegate.whole_files import write_whole


@dataclass(frozen=True, slots=True)
class Request:
    """What to generate: answers to `cases`, which were read from the file `prompts`, as rows in the file `out`."""

    model: Model
    prompts: Path
    cases: Sequence[Case]
    settings: GenerationSettings
    filters: Filters
    out: Path


@dataclass(frozen=True, slots=True)
class Generated:
    """The card of what was written. `unanswered` questions got no reply; the same command asks them again."""

    card: dict[str, Any]
    unanswered: int


def generate(request: Request, progress: Progress) -> Generated:
    """Carry out the request; the same request again asks nothing twice.

    Raises ConfigError, also for a file at `out` that this command did not write or that was changed since, and
    CannotJudge if no row is left.
    """
    log = request.out.with_name(request.out.name + SUFFIX)
    if request.out.exists() and not (log.exists() and _wrote(request.out)):
        raise ConfigError(f"{request.out}: already exists and is not overwritten; name another file with --out")
    answers = AnswersFile(log, _asked(request))
    _ask_all(request, answers, progress)
    check_weights(request.model)
    candidates = [
        Candidate(number * request.settings.samples + sample, case, sample, _answer(answers, case, sample))
        for number, case in enumerate(request.cases)
        for sample in range(1, request.settings.samples + 1)
    ]
    model = request.model
    filters = replace(request.filters, model=(model.name, model.sha256), open_judge=judge_opener(model))
    chosen = choose(candidates, filters, progress)
    if not chosen.kept:
        why = ", ".join(f"{reason} {count:,}" for reason, count in chosen.dropped.items())
        remedy = f"; {LONGER}" if mostly_cut_off(chosen.dropped, len(candidates)) else ""
        raise CannotJudge(f"{request.out}: not written: all {len(candidates):,} answers were dropped: {why}{remedy}")
    text = "".join(json.dumps(row_of(one), ensure_ascii=False) + "\n" for one in chosen.kept)
    card = _card(request, chosen, len(candidates), text)
    for path, content in (
        (card_path(request.out, "json"), json.dumps(card, indent=2, ensure_ascii=False) + "\n"),
        (request.out, text),  # after its hash, so that the same command goes on after a crash between the two
        (card_path(request.out, "md"), card_markdown(card)),
    ):
        try:
            write_whole(path, content)
        except OSError as error:
            raise CannotJudge(f"{path}: cannot be written: {error.strerror}") from error
    return Generated(card, sum(not one.response.came for one in candidates))


def card_path(out: Path, kind: str) -> Path:
    """The card beside the rows; `kind` is `json` or `md`."""
    return out.with_name(f"{out.name}.card.{kind}")


def _wrote(out: Path) -> bool:
    """Whether the rows are as this command wrote them: by the hash on their card."""
    try:
        card: Any = json.loads(card_path(out, "json").read_text(encoding="utf-8"))
        return bool(card["sha256"] == sha256_of(out))
    except (OSError, ValueError, TypeError, LookupError):  # no card of this command
        return False


def _asked(request: Request) -> dict[str, Any]:
    """What the answers depend on. Filters are not part of it: other filters choose among the same answers."""
    return {
        "model": request.model.name if request.model.sha256 is None else request.model.sha256,
        "prompts": _questions_sha256(request.cases),
        "settings": request.settings.facts(),
    }


def _questions_sha256(cases: Sequence[Case]) -> str:
    return sha256_hex(ascii_json([[case.id, case.prompt] for case in cases]))


def _ask_all(request: Request, answers: AnswersFile, progress: Progress) -> None:
    """Ask what has no answer yet, in blocks of questions of similar length; the blocks are always the same."""
    questions = [
        replace(case, id=sample_id(case.id, number))
        for case in sorted(request.cases, key=lambda case: len(case.prompt_text))
        for number in range(1, request.settings.samples + 1)
    ]
    size = request.model.block_size
    blocks = {
        start: [one for one in questions[start : start + size] if one.id not in answers.responses]
        for start in range(0, len(questions), size)
    }
    if answers_the_same(request.model):
        expect(request.model, (Block("generate", tuple(block), request.settings) for block in blocks.values() if block))
    for start, block in blocks.items():
        progress("generate", start, len(questions), "answers")
        if block:
            found = generated(request.model, block, request.settings)
            answers.add({one.id: response for one, response in zip(block, found, strict=True)})
    progress("generate", len(questions), len(questions), "answers")


def _answer(answers: AnswersFile, case: Case, sample: int) -> Response:
    return answers.responses[sample_id(case.id, sample)]


def _card(request: Request, chosen: Chosen, asked: int, text: str) -> dict[str, Any]:
    """The facts of the card, as plain JSON values; `card_sha256` is the hash of all the others."""
    checks, model = request.filters.checks, request.model
    tags = Counter(tag for one in chosen.kept for tag in one.case.tags or ((NO_TAG,) if _tagged(request) else ()))
    facts: Mapping[str, Any] = {
        "file": request.out.name,
        "rows": len(chosen.kept),
        "sha256": sha256_hex(text.encode("utf-8", "backslashreplace")),
        "tunegate": __version__,
        "model": {"name": model.name, "sha256": model.sha256, "dtype": model.dtype},
        "prompts": {
            "file": request.prompts.name,
            "sha256": sha256_of(request.prompts),
            "prompts": len(request.cases),
        },
        "settings": request.settings.facts(),
        "checks": checks
        and {"suite": checks.name, "sha256": checks.sha256, "names": [check.name for check in checks.checks]},
        "not_in": [{"name": one.name, "sha256": one.sha256, "cases": len(one.cases)} for one in request.filters.not_in],
        "per_tag": request.filters.per_tag,
        "asked": asked,
        "dropped": chosen.dropped,
        "diversity": {
            "before": diversity([one.text for one in chosen.usable]),
            "after": diversity([one.text for one in chosen.kept]),
        },
        "tags": dict(tags.most_common()),
    }
    values: dict[str, Any] = json.loads(json.dumps(facts))
    return {**values, "card_sha256": sha256_hex(ascii_json(values))}


def _tagged(request: Request) -> bool:
    return any(case.tags for case in request.cases)
