"""The rules of the house: what may import what, what stays light, and how large a file may grow."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.places import ROOT

PACKAGES = {
    "tunegate": ROOT / "harness" / "tunegate",
    "tunegate_suites": ROOT / "suites" / "tunegate_suites",
    "tunegate_trainers": ROOT / "trainers" / "tunegate_trainers",
    "tunegate_reports": ROOT / "reports" / "tunegate_reports",
}
SIBLINGS = set(PACKAGES) - {"tunegate"}
JOINTS = {
    "tunegate.commands.main",
    "tunegate.commands.run",
    "tunegate.commands.siblings",
    "tunegate.commands.ci",
    "tunegate.commands.report",
    "tunegate.commands.review",
    "tunegate.commands.review_merge",
    "tunegate.commands.suite",
    "tunegate.plugin.gates",
    "tunegate.api.suite",
    "tunegate.api.gate",
    "tunegate.api.pipeline",
    "tunegate.training.training_process",
}
"""The modules that join the engine to its siblings: command line, pytest plugin and training, lazily."""
FLOORS = (
    ("exceptions",),
    (
        *("seeds", "versions", "optional", "extensions", "addresses", "key_variables", "file_lock"),
        *("standard_streams", "hashes", "whole_files", "processes"),
    ),
    ("stats", "reading", "text"),
    ("cases", "progress", "trust"),
    ("models",),
    ("checks", "executors"),
    ("verdicts", "data"),
    ("record", "suites"),
    ("ledger", "elsewhere"),
    ("gates", "leaks"),
    ("promotion", "choosing", "reviewing", "attribution", "generation"),
    ("pipeline", "publishing", "serving"),
    ("training",),
    ("commands",),
    ("command_parser",),
    ("command_actions",),
    ("command_line",),
    ("cli", "plugin", "api"),
    ("",),
)
"""The rooms of the engine from the ground up: a room imports rooms below it, never one above it or on its own floor.

`""` is `tunegate` itself, its public face. What each room is for is the first line of its `__init__.py`.
"""
HEAVY = {
    "torch", "transformers", "trl", "peft", "datasets", "ragas", "numpy", "pandas", "scipy", "pyarrow", "evaluate",
    "sentence_transformers", "rouge_score", "spellchecker", "py3langid", "openai", "huggingface_hub", "accelerate",
    "cryptography", "mlflow", "sqlalchemy", "alembic", "captum", "PIL", "matplotlib", "ray",
}  # fmt: skip
LIGHT = {
    "tunegate.cli",
    "tunegate.command_actions",
    "tunegate.command_line",
    "tunegate.command_parser",
    "tunegate.exceptions",
    "tunegate.standard_streams",
}
MAX_LINES = 400


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join((package, *parts)).removesuffix(".__init__"), path


MODULES = dict(modules())


def assert_none(faults: Iterable[str]) -> None:
    """Fail where there is a fault, with a line for each: a rule looks at every module before it fails."""
    told = list(faults)
    assert not told, "\n" + "\n".join(told)


def heads(names: Iterable[str]) -> set[str]:
    """The packages that dotted names begin with."""
    return {top(name) for name in names}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path, *, on_import: bool = False) -> frozenset[str]:
    """What a module imports, dotted; with `on_import` only what is imported as soon as it is."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            if on_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            visit(child)

    visit(tree_of(path))
    return frozenset(found)


def known(name: str) -> str | None:
    """The module of ours that an imported name is or lies in."""
    while name:
        if name in MODULES:
            return name
        name = name.rpartition(".")[0]
    return None


def top(name: str) -> str:
    return name.partition(".")[0]


def test_imports_point_one_way() -> None:
    ours = {module: heads(imports(path)) & set(PACKAGES) for module, path in MODULES.items() if module not in JOINTS}
    wrong = {module: found - {"tunegate", top(module)} for module, found in ours.items()}
    assert_none(f"{module} imports {found}" for module, found in wrong.items() if found)


def room(module: str) -> str:
    """The folder of the engine that a module lies in, or the module itself where it lies in none."""
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_its_floor() -> None:
    rooms = {room(module) for module in MODULES if top(module) == "tunegate"}
    assert sorted(rooms) == sorted(name for floor in FLOORS for name in floor)


def rooms_above(module: str) -> set[str]:
    """The rooms that a module of the engine imports although they are not below its own."""
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    here = room(module)
    modules = {found for name in imports(MODULES[module]) if (found := known(name)) and top(found) == "tunegate"}
    others = {room(found) for found in modules} - {here, ""}
    return {other for other in others if floor_of[other] >= floor_of[here]}


def test_a_room_imports_rooms_below_it_only() -> None:
    wrong = {module: rooms_above(module) for module in MODULES if top(module) == "tunegate"}
    assert_none(f"{module} imports the rooms {found}" for module, found in wrong.items() if found)


def test_reports_know_no_command() -> None:
    for module, path in MODULES.items():
        if top(module) == "tunegate_reports":
            assert not {name for name in imports(path) if name.startswith("tunegate.commands")}, module


def assert_not_on_import(packages: Iterable[str], names: set[str]) -> None:
    """No module of the packages imports one of the names as soon as it is imported itself."""
    paths = {module: path for module, path in MODULES.items() if top(module) in packages}
    wrong = {module: heads(imports(path, on_import=True)) & names for module, path in paths.items()}
    assert_none(f"{module} imports {found} on import" for module, found in wrong.items() if found)


def test_joints_import_the_siblings_lazily() -> None:
    assert_not_on_import({"tunegate"}, SIBLINGS)


def test_heavy_libraries_are_imported_only_where_they_are_used() -> None:
    assert_not_on_import({"tunegate", "tunegate_reports"}, HEAVY)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: {found for name in imports(path, on_import=True) if (found := known(name)) and found != module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_files_stay_short() -> None:
    lines = {module: path.read_text(encoding="utf-8").count("\n") for module, path in MODULES.items()}
    assert_none(
        f"{module} has {number} lines; split it by what changes together"
        for module, number in lines.items()
        if number > MAX_LINES
    )


def test_nothing_is_asserted_or_done_on_import() -> None:
    assert_none(
        f"{module}:{node.lineno} runs on import"
        for module, path in MODULES.items()
        for node in tree_of(path).body
        if isinstance(node, ast.Assert | ast.For | ast.While | ast.With)
    )


def test_every_module_has_a_docstring() -> None:
    assert_none(
        f"{module} does not say what it is for"
        for module, path in MODULES.items()
        if not ast.get_docstring(tree_of(path))
    )


def test_no_star_imports() -> None:
    assert_none(
        f"{module} imports {name}" for module, path in MODULES.items() for name in imports(path) if name.endswith(".*")
    )


READS_A_SENTENCE = re.compile(
    r"\b(reason|action|sentence|in_words)\.(startswith|endswith|removeprefix|removesuffix|r?partition|find|index)\("
    r"|re\.\w+\([^)]*\b(reason|action|sentence)\b|\bin [\w.]*\b(reason|sentence)\b(?! for)"
)


def test_no_code_reads_a_sentence() -> None:
    """What a reason says is a value (`verdicts/reason.py`, `Diagnosis.spent`); its words are for people alone."""
    assert_none(
        f"{module}:{number}: {line.strip()}"
        for module, path in MODULES.items()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if READS_A_SENTENCE.search(line) and not line.lstrip().startswith(("#", '"'))
    )


def test_tests_inject_fakes_and_patch_nothing() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if "mock" in path.read_text(encoding="utf-8")]
    assert_none(
        f"{path}: {name}" for path in paths for name in imports(path) if name.startswith(("unittest.mock", "mock"))
    )


# --- what is loaded ------------------------------------------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nimport json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


HELP = """
from tunegate.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
"""


@pytest.mark.parametrize("code", ["import tunegate", HELP])
def test_starting_loads_next_to_nothing(code: str) -> None:
    loaded = loaded_by(code)
    assert not {top(name) for name in loaded} & (HEAVY | SIBLINGS | {"pydantic", "yaml", "tqdm", "jsonschema"})
    assert {name for name in loaded if name.startswith("tunegate.")} <= LIGHT


def test_a_gate_on_stored_answers_loads_no_heavy_library(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("cases: c.jsonl\nchecks: [exact, contains]\nplan: {draw: 1, accept: 1}\n")
    (tmp_path / "c.jsonl").write_text('{"id": "a", "prompt": "?", "reference": "x"}\n')
    (tmp_path / "r.jsonl").write_text('{"id": "a", "response": "x"}\n')
    command = ["gate", "--responses", "r.jsonl", "--suite", "suite.yaml"]
    loaded = loaded_by(
        f"import os; os.chdir({str(tmp_path)!r})\nfrom tunegate.cli import main; assert main({command}) == 0"
    )
    assert not {top(name) for name in loaded} & HEAVY
    assert "tunegate_trainers" not in {top(name) for name in loaded}
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("tunegate.")}
    assert not rooms & {f"tunegate.{room}" for room in ("pipeline", "leaks", "choosing", "training", "generation")}


def test_starting_pytest_costs_nothing_where_no_gate_is() -> None:
    loaded = loaded_by("import tunegate.plugin.entry")
    assert not {top(name) for name in loaded} & (HEAVY | SIBLINGS)
