"""The sources of a user's function: a local file that can change what it says changes their hash, and no other does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.check_helpers import FAIL, PASS, ask, sample
from tunegate.checks.sources import dotted_name, local_sources, sources_sha256
from tunegate.exceptions import ConfigError
from tunegate.plugin.function_check import FunctionCheck
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check


def write(folder: Path, **modules: str) -> Path:
    """Write modules; the name `a/b` makes `a/b.py`."""
    for name, text in modules.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def sources(folder: Path, module: str = "metrics") -> set[str]:
    return set(local_sources(module, folder.joinpath(*module.split(".")).with_suffix(".py"), folder))


@pytest.mark.parametrize(
    "text",
    [
        "import helper",
        "import os, helper as h",
        "from helper import length",
        "from helper import *",
        "def f(case, text):\n    import helper",
        "try:\n    import helper\nexcept ImportError:\n    helper = None",
        "if False:\n    from helper import length",
        "import importlib\nhelper = importlib.import_module('helper')",
        "from importlib import import_module\nhelper = import_module('helper')",
        "helper = __import__('helper')",
        "import other",
    ],
)
def test_a_helper_is_found_however_it_is_imported(tmp_path: Path, text: str) -> None:
    write(tmp_path, metrics=text, helper="", other="import helper", stranger="")
    assert "helper" in sources(tmp_path)
    assert "stranger" not in sources(tmp_path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from pkg.text import clean", {"pkg", "pkg.text", "pkg.deep", "pkg.deep.words"}),
        ("from pkg import text", {"pkg", "pkg.text", "pkg.deep", "pkg.deep.words"}),
        ("import pkg.deep.words", {"pkg", "pkg.deep", "pkg.deep.words"}),
        ("import pkg", {"pkg"}),
        ("import plain.words", {"plain.words"}),
    ],
)
def test_packages_are_followed_with_what_runs_on_the_way(tmp_path: Path, text: str, found: set[str]) -> None:
    write(tmp_path, metrics=text, **{"pkg/__init__": "", "pkg/text": "from .deep import words", "pkg/other": ""})
    write(tmp_path, **{"pkg/deep/__init__": "", "pkg/deep/words": "from ...beyond import x\nfrom . import nothing"})
    write(tmp_path, **{"plain/words": ""})
    assert sources(tmp_path) == {"metrics", *found}


def test_circles_syntax_errors_and_odd_names_do_no_harm(tmp_path: Path) -> None:
    odd = "__import__('../up')\n__import__('')\n__import__('.')\n__import__('a b')\nfrom . import x\nfrom .. import y\n"
    write(tmp_path, metrics=f"import helper, broken\n{odd}", helper="import metrics", broken="def (:", __init__="")
    (tmp_path / "helper.py").write_bytes(b"# -*- coding: latin-1 -*-\nimport metrics  # \xe9")
    assert sources(tmp_path) == {"metrics", "helper", "broken"}


def test_libraries_are_not_sources(tmp_path: Path) -> None:
    write(tmp_path, metrics="import os, json.decoder, pytest, numpy.linalg, tunegate.cases.case, no_such_module")
    assert sources(tmp_path) == {"metrics"}


def test_local_code_elsewhere_on_the_path_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "src", **{"project/__init__": "", "project/words": ""})
    write(tmp_path / "suites", metrics="from project.words import clean")
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert sources(tmp_path / "suites") == {"metrics", "project", "project.words"}


def test_an_editable_install_that_an_import_hook_finds_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.machinery import ModuleSpec
    from importlib.util import spec_from_file_location

    package = write(tmp_path / "src", **{"hooked/__init__": "", "hooked/words": ""}) / "hooked"

    class Hook:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            here = name == "hooked" and spec_from_file_location(
                name, package / "__init__.py", submodule_search_locations=[str(package)]
            )
            return here or None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Hook])
    write(tmp_path / "suites", metrics="from hooked import words")
    assert sources(tmp_path / "suites") == {"metrics", "hooked", "hooked.words"}


def test_the_hash_does_not_depend_on_the_place_and_does_on_names_and_contents(tmp_path: Path) -> None:
    def sha256(place: str, helper: str, name: str = "helper") -> str:
        folder = write(tmp_path / place, **{"metrics": "import helper, other", name: helper})
        return sources_sha256(local_sources("metrics", folder / "metrics.py", folder))

    first = sha256("a", "x = 1")
    assert sha256("b", "x = 1") == first
    assert len({first, sha256("c", "x = 2"), sha256("d", "x = 1", "other")}) == 3


def test_the_name_of_a_module_follows_its_packages(tmp_path: Path) -> None:
    write(tmp_path, **{"a/__init__": "", "a/b/__init__": "", "a/b/test_c": ""})
    assert dotted_name(tmp_path / "a" / "b" / "test_c.py") == ("a.b.test_c", tmp_path)
    assert dotted_name(tmp_path / "test_c.py") == ("test_c", tmp_path)


# --- python: module:function ---------------------------------------------------------------------------------------

SUITE = "cases: c.jsonl\nchecks: [{python: 'metrics:f'}]\nplan: {draw: 1, accept: 1}\n"


def test_editing_a_helper_changes_the_suite_and_what_runs(tmp_path: Path) -> None:
    write(tmp_path, metrics="from helper import ok\ndef f(case, text): return ok(text)", stranger="x = 1")
    write(tmp_path, helper="from inner import WORD\ndef ok(text): return text == WORD", inner="WORD = 'a'")
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "c.jsonl").write_text('{"id": 1, "prompt": "?", "reference": "a"}\n')

    def suite_sha256() -> str:
        return load_suite(tmp_path / "suite.yaml", build_check).sha256

    before = suite_sha256()
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is PASS
    write(tmp_path, stranger="x = 2")
    assert suite_sha256() == before
    write(tmp_path, inner="WORD = 'b'")
    assert suite_sha256() != before
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is FAIL
    write(tmp_path, inner="WORD = 'a'")
    assert suite_sha256() == before
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is PASS


@pytest.mark.parametrize("name", ["metrics", "helper"])
def test_a_file_edited_within_a_second_is_not_run_from_the_bytecode_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Python takes a file of the same length and the same second for the one whose bytecode it kept."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    write(tmp_path, metrics="import helper\nWORD = 'a'\ndef f(case, text): return text == WORD == helper.WORD")
    write(tmp_path, helper="WORD = 'a'")
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is PASS
    file = tmp_path / f"{name}.py"
    before = file.stat()
    file.write_text(file.read_text().replace("'a'", "'b'"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is FAIL


def test_the_named_module_counts_too_where_its_function_comes_from_another(tmp_path: Path) -> None:
    write(tmp_path, helper="def f(case, text): return True", metrics="from helper import f")
    before = build_check({"python": "metrics:f"}, tmp_path).fingerprint
    write(tmp_path, metrics="from helper import f as g\ndef f(case, text): return not g(case, text)")
    assert build_check({"python": "metrics:f"}, tmp_path).fingerprint != before


def test_two_suites_may_each_have_a_helper_of_the_same_name(tmp_path: Path) -> None:
    """The one that is imported first must not judge for the other, be it imported early or late."""
    early = "from helper import ok\ndef f(case, text): return ok()"
    late = "def f(case, text):\n    from helper import ok\n    return ok()"
    for first, second in ((early, early), (early, late), (late, early), (late, late)):
        passing = write(tmp_path / "passing", metrics=first, helper="def ok(): return True")
        failing = write(tmp_path / "failing", metrics=second, helper="def ok(): return False")
        checks = [build_check({"python": "metrics:f"}, folder) for folder in (passing, failing)]
        for _ in range(2):
            assert [check.judge([sample("a")])[0].verdict for check in checks] == [PASS, FAIL]
    assert "helper" not in sys.modules


def test_a_neighbour_does_not_hide_what_other_code_imports_by_its_name(tmp_path: Path) -> None:
    import fractions

    write(tmp_path, metrics="import fractions\ndef f(case, text): return fractions.mine", fractions="mine = True")
    path = list(sys.path)
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is PASS
    assert sys.modules["fractions"] is fractions
    assert sys.path == path


def test_a_neighbour_that_cannot_be_imported_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, metrics="import helper, broken\ndef f(case, text): return True", helper="", broken="1 / 0")
    before = set(sys.modules)
    with pytest.raises(ConfigError, match="importing 'metrics' failed: ZeroDivisionError"):
        build_check({"python": "metrics:f"}, tmp_path)
    assert set(sys.modules) == before
    write(tmp_path, broken="")
    assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is PASS


def test_checks_of_one_module_share_what_it_loads(tmp_path: Path) -> None:
    write(tmp_path, metrics="import helper\ndef f(case, text): return True\ndef g(case, text): return True")
    write(tmp_path, helper=f"with open({str(tmp_path / 'loads')!r}, 'a') as file: file.write('x')")
    for entry in ("metrics:f", "metrics:g", "metrics:f"):
        build_check({"python": entry}, tmp_path)
    assert (tmp_path / "loads").read_text() == "x"


def test_a_helper_is_one_and_the_same_whenever_it_is_imported(tmp_path: Path) -> None:
    same = "import helper as early\ndef f(case, text):\n    import helper as late\n    return early is late"
    write(tmp_path, metrics=same, helper="")
    for _ in range(2):
        assert ask({"python": "metrics:f"}, "a", base_dir=tmp_path).verdict is PASS


def test_a_metric_of_an_installed_library_is_hashed_alone(tmp_path: Path) -> None:
    facts = json.loads(build_check({"python": "ntpath:normcase"}, tmp_path).fingerprint)
    assert len(facts["sources_sha256"]) == 64
    assert build_check({"python": "math:isnan"}, tmp_path).fingerprint


# --- @tunegate.gate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("imports", ["from helper import ok", "from .helper import ok"])
def test_a_gate_function_is_told_by_its_helpers_too(tmp_path: Path, imports: str) -> None:
    folder = write(tmp_path, **{"gates/test_gate": imports, "gates/helper": "ok = 1"}) / "gates"
    if "." in imports:
        write(folder, __init__="")

    def fingerprint() -> str:
        return FunctionCheck.of(lambda case, response: None, "test_gate", folder / "test_gate.py").fingerprint

    before = fingerprint()
    assert fingerprint() == before
    write(folder, helper="ok = 2")
    assert fingerprint() != before
