"""A suite made from the questions and targets in a file of another tool, for a gate without a suite file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tunegate.cases.case import Case, content
from tunegate.cases.from_rows import content_id, with_numbers
from tunegate.checks.check import CheckBuilder
from tunegate.elsewhere.read import read_results
from tunegate.elsewhere.results import Imported, Picks, Results
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.hashes import sha256_of
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import KeyPath, YamlFile, dotted
from tunegate.record.typed_json import read_as
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import make_suite
from tunegate.suites.suite_spec import SuiteSpec

DRAW = 100
MAX_NAME = 60
NOTHING_PICKED = Picks()
LETTER = re.compile(r"[A-Za-z]")


class MadeFrom(YamlFile):
    """The suite in the form of a file. Its errors name the results file, without a line."""

    def error(self, keys: KeyPath, message: str) -> ConfigError:
        return ConfigError(": ".join(filter(None, (f"suite made from {self.path}", dotted(keys), message))))


@dataclass(frozen=True, slots=True)
class Made:
    """What a record keeps of a made suite, so that it can be made again: the file's SHA-256, and the options."""

    sha256: str
    picks: Picks = field(default_factory=Picks)
    draw: int | None = None
    accept: int | None = None


def made_again(path: Path, facts: Mapping[str, Any], build_check: CheckBuilder) -> tuple[Suite, Results]:
    """The suite that `suite_from` made, and the answers, from the same file; `facts` are `Suite.made` on record.

    Raises Tampered if the file changed since, ConfigError if it cannot be read.
    """
    try:
        made = read_as(Made, facts)
    except ValueError as error:
        raise Tampered(f"the record does not say how the suite was made from {path}: {error}") from error
    if (now := sha256_of(path)) != made.sha256:
        raise Tampered(
            f"{path}: the file changed since the suite was made from it: it is {now[:12]}… now, and was "
            f"{made.sha256[:12]}…; restore it"
        )
    results = read_results(path, made.picks)
    if results is None:
        raise ConfigError(f"{path}: not a file of a known tool")
    return suite_from(path, results, build_check, made.draw, made.accept, made.picks), results


def suite_from(
    path: Path,
    results: Results,
    build_check: CheckBuilder,
    draw: int | None = None,
    accept: int | None = None,
    picks: Picks = NOTHING_PICKED,
) -> Suite:
    """A suite of the file's questions, with their targets, one check that fits them, and a plan.

    The check is `choice` for log-likelihoods, `contains` if the tool looked for the target in the answer, otherwise
    `exact`. The plan draws 100 cases of which 90 must pass, unless `draw` and `accept` say otherwise. The suite depends
    on questions and targets alone, so the answers of two models to one task give the same suite. Raises ConfigError if
    the file has no questions or no targets, CannotJudge if it has fewer questions than the plan draws.
    """
    cases = _cases(path, results)
    size = DRAW if draw is None else draw
    if 0 < (have := len({content(case) for case in cases})) < size:
        raise CannotJudge(
            f"INVALID: {path} has {have} questions, and the plan draws {size}: {size - have} rows are missing; ask "
            f"the model more questions, or draw fewer: --draw {have}"
        )
    check, answer = _check(path, results)
    data: dict[str, Any] = {
        "name": _name(results.name),
        "cases": {"path": str(path)},
        "checks": [check],
        "plan": {"draw": size} if accept is None else {"draw": size, "accept": accept},
        **({} if answer is None else {"answer": answer}),
    }
    source = MadeFrom(path, data, {})
    suite = make_suite(read_spec(SuiteSpec, source), data["name"], source, (), build_check, cases)
    plan = suite.plan.first
    needed = f"{plan.accept} of {plan.draw} must pass" if isinstance(plan, SinglePlan) else ""
    remark = (
        f"the suite was made from {path}: {len(cases)} questions and targets of {results.tool}, judged by {check}; "
        f"{needed}"
    )
    made = Made(sha256_of(path), picks, draw, accept)
    return replace(suite, remarks=(remark, *suite.remarks), made=asdict(made))


def _cases(path: Path, results: Results) -> tuple[Case, ...]:
    return tuple(with_numbers(_case(path, one) for one in results.answers))


def _case(path: Path, one: Imported) -> Case:
    if one.prompt is None:
        raise ConfigError(
            f"{one.place}: the file has no prompt for {one.id!r}, so no suite can be made from it; give one: "
            "--suite FILE"
        )
    case = Case(one.id, one.prompt, one.references, choices=one.choices if one.response.choice_scores else ())
    return case if one.id.strip() else replace(case, id=content_id(case))


def _check(path: Path, results: Results) -> tuple[str, str | None]:
    """The check that fits the answers, and the part of an answer that it judges."""
    answered = [one for one in results.answers if one.response.error is None]
    scored = [one for one in answered if one.response.choice_scores]
    if not any(one.references for one in results.answers):
        raise ConfigError(
            f"{path}: this file of {results.tool} has no targets, so nothing can be compared; give a suite that has "
            "them: --suite FILE"
        )
    if answered and len(scored) == len(answered):
        return "choice", None
    if results.contains:
        return "contains", None
    return "exact", "letter" if _are_letters(results.answers) else None


def _are_letters(answers: Sequence[Imported]) -> bool:
    """Whether every target is the letter of a choice, as in Inspect's `multiple_choice`."""
    golds = [gold for one in answers for gold in one.references]
    return bool(golds) and all(one.choices for one in answers) and all(LETTER.fullmatch(gold) for gold in golds)


def _name(name: str) -> str:
    """A name that a suite may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:MAX_NAME] or "imported"
