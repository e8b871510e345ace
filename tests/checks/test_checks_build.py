"""How suites name checks: entries, options, error messages, fingerprints, start-up time."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tunegate.checks.check import Check
from tunegate.exceptions import ConfigError, MissingExtra
from tunegate.optional import require
from tunegate_suites import CHECKS, build_check
from tunegate_suites.build import find
from tunegate_suites.reference import reference


@pytest.mark.parametrize(
    ("entry", "name", "options"),
    [
        ("exact", "exact", {"normalize": True}),
        ({"exact": None}, "exact", {"normalize": True}),
        ({"exact": {"normalize": "squad"}}, "exact", {"normalize": "squad"}),
        ({"rougeL": {"min": 0.6}}, "rougeL", {"min": 0.6, "max": None, "measure": "fmeasure", "stemmer": False}),
        ({"rouge7": 1}, "rouge7", {"min": 1.0, "max": None, "measure": "fmeasure", "stemmer": False}),
        ({"regex": "^a", "ignore_case": True}, "regex", {"pattern": "^a", "ignore_case": True, "fullmatch": False}),
        (
            {"contains": ["a", "b"]},
            "contains",
            {"text": ["a", "b"], "match": None, "whole_words": "auto", "normalize": True},
        ),
    ],
)
def test_an_entry_becomes_a_check(entry: object, name: str, options: dict[str, object]) -> None:
    check: Check = build_check(entry, Path())
    assert check.name == name
    facts = json.loads(check.fingerprint)
    facts.pop("source_sha256", None)
    assert facts == {"name": name, "version": "2", "options": options}
    assert (check.batch_size, check.needs_choices, check.max_errors) == (1, False, {})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("exct", "check 'exct': unknown check (did you mean 'exact'?)"),
        ({"rougL": {"min": 0.6}}, "check 'rougL': unknown check (did you mean 'rougeL'"),
        ({"rouge0": 1}, "check 'rouge0': unknown check (did you mean"),
        ({"rougeL": {"minn": 0.6}}, "rougeL.minn: unknown option (did you mean 'min'?)"),
        ({"rougeL": {}}, "rougeL: 'min' or 'max' is missing"),
        ({"rougeL": {"min": 60}}, "rougeL.min: expected a number from 0 to 1, got 60"),
        ({"rougeL": {"min": 0.9, "max": 0.1}}, "rougeL: nothing passes: min 0.9 is above max 0.1"),
        ({"rougeL": {"min": 0}}, "rougeL: nothing fails: every score is from 0 to 1"),
        ({"rouge1": {"max": 1.0}}, "rouge1: nothing fails"),
        ({"rouge2": {"min": 0.0, "max": 1.0}}, "rouge2: nothing fails"),
        ({"similarity": -1}, "similarity: nothing fails: every score is from -1 to 1"),
        ({"rougeL": {"min": True}}, "rougeL.min: expected a valid number, got True"),
        ({"rougeL": {"min": float("nan")}}, "rougeL.min: expected a finite number, got nan"),
        ({"rougeL": {"min": 0.5, "measure": "f1"}}, "rougeL.measure: expected 'precision', 'recall' or"),
        ({"regex": "("}, "regex.pattern: this is not a regular expression: missing )"),
        ({"regex": ""}, "regex.pattern: '' matches any answer, even an empty one"),
        ({"regex": ".*"}, "regex.pattern: '.*' matches any answer"),
        ({"regex": "^"}, "regex.pattern: '^' matches any answer"),
        ({"regex": "(yes|no)?"}, "regex.pattern: '(yes|no)?' matches any answer"),
        ({"regex": r"[\s\S]*", "fullmatch": True}, "matches any answer"),
        ({"errors": {"forbid": ["format"], "format": "(?s).*"}}, "errors.format: '(?s).*' matches any answer"),
        ({"regex": {}}, "regex: the option 'pattern' is missing"),
        ({"contains": []}, "contains.text: the list is empty"),
        ({"contains": " "}, "contains.text: ' ' is contained in any answer"),
        ({"json": "nope.json"}, "nope.json: no such file"),
        ({"json": {"schema": {"type": "objct"}}}, "json.schema: this is not a JSON Schema: $.type: 'objct'"),
        ({"exact": {}, "rougeL": {}}, "check 'exact': expected one check per item, got 'exact', 'rougeL'"),
        ({"regex": "a", "exact": None}, "check 'regex': expected one check per item"),
        ({"exact": 5}, "exact: expected options such as {exact: {normalize: true}}, got 5"),
        (5, "check: expected a name or a mapping"),
        ({}, "check: expected a name or a mapping"),
        ({1: 2}, "check: expected a name, got 1"),
        ({"judge": {"server": {"bas_url": "x"}}}, "judge.server.bas_url: unknown option (did you mean 'base_url'?)"),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_one_clear_line(entry: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build_check(entry, tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_options_are_found_beside_the_suite_and_hashed(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("autosomal\n")
    entry = {"errors": {"report": ["misspelling"], "vocabulary": ["words.txt"]}}
    first = build_check(entry, tmp_path).fingerprint
    assert str(tmp_path) not in first
    assert build_check(entry, tmp_path).fingerprint == first
    words.write_text("recessive\n")
    assert build_check(entry, tmp_path).fingerprint != first


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("x\n")
    with pytest.raises(ConfigError, match=r"vocabulary.0: .*wrods.txt: no such file \(did you mean 'words.txt'\?\)"):
        build_check({"errors": {"report": ["misspelling"], "vocabulary": ["wrods.txt"]}}, tmp_path)


def test_every_check_of_the_registry_can_be_imported_and_says_what_it_is() -> None:
    for name in CHECKS:
        check = find(name)
        assert check.__doc__
        assert check.example
        assert check.passes_when
        options = {field.alias or option for option, field in check.model_fields.items()}
        assert check.shorthand is None or check.shorthand in options


def test_the_documentation_is_up_to_date() -> None:
    written = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m tunegate_suites.reference > docs/checks.md"


def test_missing_packages_name_their_extra() -> None:
    require("rougeL", "text", "json")
    for module in ("no_such_module", "no_such_package.part"):
        with pytest.raises(MissingExtra, match=r"rougeL needs the extra 'text' .*pip install 'tunegate\[text\]'"):
            require("rougeL", "text", module)


def test_without_its_packages_a_check_is_refused_when_it_is_built() -> None:
    code = """
    import sys
    from importlib.abc import MetaPathFinder
    from pathlib import Path
    from tunegate.exceptions import MissingExtra
    from tunegate_suites import build_check

    class NotInstalled(MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("rouge_score", "spellchecker", "py3langid", "sentence_transformers", "openai",
                                      "evaluate", "ragas"):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, NotInstalled())
    import os, tempfile; os.chdir(tempfile.mkdtemp())
    Path("r.yaml").write_text("{criterion: x, labels: [yes, no]}")
    entries = [{"rougeL": 0.5}, {"errors": ["misspelling"]}, {"errors": ["wrong_language"]}, {"similarity": 0.5},
               {"judge": {"rubric": "r.yaml", "accept": ["yes"], "server": {"base_url": "http://x/v1", "model": "m"}}},
               {"evaluate": "bleu", "min": 0}, {"ragas": "Faithfulness", "min": 0}]
    for entry in entries:
        try:
            build_check(entry, Path())
        except MissingExtra as error:
            print(str(error).partition(": ")[2])
    """
    printed = run_python(code)
    extras = ["text", "text", "text", "similarity", "server", "evaluate", "ragas"]
    assert printed.splitlines() == [f"pip install 'tunegate[{extra}]'" for extra in extras]


def test_building_exact_brings_no_heavy_package() -> None:
    code = """
    import sys
    import tunegate_suites
    from pathlib import Path
    tunegate_suites.build_check("exact", Path())
    heavy = {"numpy", "torch", "nltk", "rouge_score", "jsonschema", "openai", "spellchecker", "py3langid"}
    print(sorted(heavy & set(sys.modules)))
    """
    assert run_python(code) == "[]\n"


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize(
    "pattern",
    [r"^$", r"^\s*$", r"^.{0,500}$", r"(?s)^.{0,500}$", "^[^☃]*$", r"^[^\u2603]*$", r"^(?!.*\bsorry\b)", r"^[^a]*$|b"],
)
def test_a_pattern_that_matches_no_answer_at_all_may_still_refuse_others(pattern: str) -> None:
    build_check({"regex": pattern}, Path())


def test_checks_say_whether_they_can_fail() -> None:
    for entry in ("exact", "json", {"errors": {"forbid": ["empty"]}}, {"rougeL": 0.5}):
        assert build_check(entry, Path()).can_fail
    for options in ({"report": ["empty"]}, {"max": {"empty": 3}}):  # a cap fails the gate, not a case
        assert not build_check({"errors": options}, Path()).can_fail
