"""The rule on the diversity of answers: from the file to the engine's type, with the texts of its file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tunegate.cases.case import Case
from tunegate.checks.check import Check
from tunegate.exceptions import ConfigError
from tunegate.hashes import suite_json
from tunegate.reading.files import resolve
from tunegate.reading.rows import read_rows
from tunegate.reading.templates import fill
from tunegate.reading.yaml_file import KeyPath, YamlFile
from tunegate.suites.suite_spec import AgainstSpec, DiversitySpec
from tunegate.text.normal_form import normalised
from tunegate.verdicts.diversity import FEWEST, DiversityRule


def diversity_of(
    spec: DiversitySpec | None,
    cases: Sequence[Case],
    checks: Sequence[Check],
    draw: int,
    file: YamlFile,
    keys: KeyPath,
) -> tuple[DiversityRule | None, tuple[str, ...]]:
    """The rule, and the texts that it compares the answers with; none if these are the references.

    Raises ConfigError for a rule that no draw of this suite could meet.
    """
    if spec is None:
        return None, ()
    keys = (*keys, "diversity")
    if all(check.needs_choices for check in checks):
        raise file.error(keys, "no answer is generated, because all checks read likelihoods; leave it out")
    if draw < FEWEST:
        raise file.error(keys, f"a draw of at least {FEWEST} cases is needed, but the plan draws {draw}")
    if spec.against is None:
        without = [case.id for case in cases if not case.references]
        if without:
            raise file.error(
                keys,
                f"the answers are compared with the references, but {len(without)} of {len(cases)} cases have none, "
                f"such as {without[0]!r}; name other texts: `against: {{path: data/train.jsonl}}`",
            )
        _check_different([case.references[0] for case in cases], "the references", file, keys)
        return DiversityRule(spec.at_least, tuple(spec.measures), spec.risk), ()
    texts = _texts(spec.against, file, (*keys, "against"))
    if len(texts) < draw:
        raise file.error(
            (*keys, "against", "path"),
            f"{spec.against.path} has {len(texts)} texts, but a draw has {draw} answers, and both sides need the same "
            "number; name a file with more rows",
        )
    _check_different(texts, f"the texts of {spec.against.path}", file, (*keys, "against"))
    sha256 = hashlib.sha256(suite_json(texts)).hexdigest()
    against = f"the texts of {spec.against.path}"
    return DiversityRule(spec.at_least, tuple(spec.measures), spec.risk, against, sha256), texts


def _check_different(texts: Sequence[str], what: str, file: YamlFile, keys: KeyPath) -> None:
    """Refuse texts that any answers are as diverse as."""
    if len(set(map(normalised, texts))) == 1:
        raise file.error(keys, f"{what} are all the same, so any answers are as diverse; name other texts")


def _texts(spec: AgainstSpec, file: YamlFile, keys: KeyPath) -> tuple[str, ...]:
    found: list[str] = []
    with file.naming((*keys, "path")):
        path = resolve(spec.path, file.path.parent)
        for number, row in read_rows(path):
            try:
                text = fill(spec.text, row)
            except ConfigError as error:
                raise file.error((*keys, "text"), f"{path}:{number}: {error}") from error
            if not text.strip():
                raise file.error((*keys, "text"), f"{path}:{number}: the text is empty; remove the row")
            found.append(text)
    return tuple(found)
