"""A release: its version, its hashes, the files that it has, and that it installs in clean environments."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.support.ci_files import WORKFLOWS, read
from tests.support.hashed_constraints import CORE, HASHED, PINS, core, core_of, pins
from tests.support.places import ROOT
from tests.support.release_check import faults
from tunegate import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTS = {
    "text": "rouge_score, spellchecker, py3langid",
    "similarity": "sentence_transformers",
    "evaluate": "evaluate",
    "leakage": "datasketch",
    "server": "openai",
    "judge": "openai",
    "ragas": "ragas",
    "data": "datasets, pyarrow",
    "hf": "torch, transformers, peft, gguf, accelerate, safetensors",
    "train": "trl, datasets, datasketch",
    "search": "optuna",
    "names": "spacy",
    "pytest": "pytest",
    "mlflow": "mlflow, sqlalchemy, alembic",
    "hub": "huggingface_hub",
    "sign": "cryptography",
    "inspect": "zstandard",
    "tasks": "jinja2",
    "attribution": "captum",
    "ray": "ray",
}
"""What each extra brings."""


# --- version and hashes --------------------------------------------------------------------------------------------


def test_the_version_has_one_value() -> None:
    assert PROJECT["version"] == __version__


@pytest.mark.parametrize(
    ("tag", "changelog", "declared", "said"),
    [
        ("v1.2.0", "## 1.2.0 (2026-12-01)", "1.2.0", None),
        ("v1.2.1", "## 1.2.0 (2026-12-01)", "1.2.0", "the tag must be v1.2.0"),
        ("v1.2.0", "## 1.2.0 (unreleased)", "1.2.0", "is unreleased"),
        ("v1.2.0", "## 1.1.0", "1.2.0", "no heading `## 1.2.0`"),
        ("v1.2.0", "## 1.2.0", "1.1.0", "pyproject.toml has the version 1.1.0"),
    ],
)
def test_a_tag_is_released_if_all_agrees(tag: str, changelog: str, declared: str, said: str | None) -> None:
    found = list(faults(tag, changelog, declared, "1.2.0"))
    assert (found == []) if said is None else said in " ".join(found)


def test_the_check_needs_python_alone() -> None:
    """The release workflow asks before it installs anything."""
    words = [sys.executable, "-S", "-m", "tests.support.release_check", "v0.0.0"]
    done = subprocess.run(words, cwd=ROOT, env={"PYTHONPATH": "harness"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"the tag must be v{__version__}" in done.stdout


def test_the_file_with_hashes_has_the_versions_of_the_constraints() -> None:
    """And a SHA-256 for each but torch, of which each kind of build has its own."""
    text = HASHED.read_text(encoding="utf-8")
    assert pins(text) == pins(PINS.read_text(encoding="utf-8")), "run `make hashes`"
    for block in re.split(r"\n(?=\S)", text)[1:]:
        assert block.startswith("torch==") or re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_the_requirements_of_the_core_are_all_it_needs() -> None:
    text = CORE.read_text(encoding="utf-8")
    assert text == core_of(HASHED.read_text(encoding="utf-8")), "run `make hashes`"
    assert {canonicalize_name(pin.partition("==")[0]) for pin in pins(text)} == core()


def test_every_extra_is_installed_by_a_test() -> None:
    assert IMPORTS.keys() == PROJECT["optional-dependencies"].keys() - {"dev"}


def test_only_the_job_that_publishes_may_publish() -> None:
    """By trusted publishing: no workflow has a secret, and a person approves the environment."""
    [release] = read(WORKFLOWS / "release.yml")
    assert "secrets." not in (WORKFLOWS / "release.yml").read_text(encoding="utf-8")
    jobs = release["jobs"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert jobs["build"]["permissions"] == {"contents": "read"}, "what builds cannot publish"
    made = [step["run"].split()[1] for step in jobs["build"]["steps"] if "run" in step]
    assert made == ["release-check", "dist"]


# --- the files -----------------------------------------------------------------------------------------------------


def run(*words: str, folder: Path = ROOT) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the committed and changed files in which `make dist` ran."""
    folder = tmp_path_factory.mktemp("release") / "tunegate"
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    run("make", "dist", f"PYTHON={sys.executable}", folder=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = (built / "dist").glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_and_the_sdist_have_the_data_and_its_licences(built: Path, wheel: Path) -> None:
    [sdist] = (built / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        in_wheel = set(file.namelist())
    with tarfile.open(sdist) as file:
        in_sdist = set(file.getnames())
    for path in (ROOT / "suites" / "tunegate_suites" / "data").rglob("LICENSE.*"):
        below = path.relative_to(ROOT / "suites")
        assert str(below) in in_wheel
        assert f"tunegate-{__version__}/suites/{below}" in in_sdist
    assert f"tunegate-{__version__}.dist-info/licenses/NOTICE" in in_wheel
    assert "tunegate/commands/starter_files/.github/workflows/gate.yaml" in in_wheel
    for name in ("NOTICE", "action.yml", "constraints-hashed.txt"):
        assert f"tunegate-{__version__}/{name}" in in_sdist


@pytest.mark.slow
def test_the_list_of_parts_names_what_the_core_installs(built: Path) -> None:
    """CycloneDX, with a package URL for each part; and the SHA-256 of both files."""
    parts = json.loads((built / "build" / "release" / "sbom.cdx.json").read_text())
    assert (parts["bomFormat"], parts["metadata"]["component"]["name"]) == ("CycloneDX", "tunegate")
    listed = {canonicalize_name(part["name"]) for part in parts["components"]} - {"tunegate"}
    assert listed == core()
    assert all(part["purl"].startswith("pkg:pypi/") for part in parts["components"] if part["name"] != "tunegate")
    run("sha256sum", "--check", str(built / "build" / "release" / "SHA256SUMS"), folder=built / "dist")


@pytest.mark.slow
def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    wrong = re.sub(r"(?<=sha256:)[0-9a-f]{64}", "0" * 64, CORE.read_text(encoding="utf-8"))
    (tmp_path / "wrong.txt").write_text(wrong)
    words = ("pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(tmp_path))
    command = [sys.executable, "-m", *words, "--requirement", str(tmp_path / "wrong.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr


# --- clean environments --------------------------------------------------------------------------------------------


def installed(place: Path, wheel: Path, extra: str = "") -> Path:
    """A clean environment with the wheel; returns its folder of programs."""
    venv.create(place, with_pip=True, symlinks=True)
    constraints = ROOT / ("constraints-ragas.txt" if extra == "ragas" else "constraints.txt")
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    pip = (str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--constraint", str(constraints), what)
    return place / "bin"


@pytest.mark.slow
def test_the_core_gates_in_a_clean_environment(tmp_path: Path, wheel: Path) -> None:
    programs = installed(tmp_path / "env", wheel)
    run(str(programs / "tunegate"), "init", "project", folder=tmp_path)
    gate = ("gate", "--responses", "answers.jsonl", "--suite", "suites/facts.yaml")
    assert "PASS" in run(str(programs / "tunegate"), *gate, folder=tmp_path / "project")


@pytest.mark.slow
@pytest.mark.parametrize("extra", sorted(IMPORTS))
def test_an_extra_installs_in_a_clean_environment(tmp_path: Path, wheel: Path, extra: str) -> None:
    programs = installed(tmp_path / "env", wheel, extra)
    run(str(programs / "python"), "-c", f"import tunegate, {IMPORTS[extra]}", folder=tmp_path)
    run(str(programs / "python"), "-m", "pip", "check", folder=tmp_path)


@pytest.mark.slow
def test_uvx_runs_it(tmp_path: Path, wheel: Path) -> None:
    """Without an installation; and uv compares with the hashes of the constraints."""
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    run(str(tmp_path / "env" / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv")
    uv = str(tmp_path / "env" / "bin" / "uv")
    told = run(uv, "tool", "run", "--from", str(wheel), "tunegate", "--version", folder=tmp_path)
    assert told == f"tunegate {__version__}\n"
    run(uv, "venv", "--quiet", "other", folder=tmp_path)
    into = ("pip", "install", "--quiet", "--python", "other", "--constraint")
    run(uv, *into, str(HASHED), str(wheel), folder=tmp_path)
    (tmp_path / "wrong.txt").write_text(re.sub(r"(?<=sha256:)[0-9a-f]{64}", "0" * 64, HASHED.read_text()))
    run(uv, "venv", "--quiet", "third", folder=tmp_path)
    words = [uv, *into[:-2], "third", "--no-cache", "--constraint", str(tmp_path / "wrong.txt"), str(wheel)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr
