"""The subjects of a statement: what `sha256sum` and the shell line of in-toto's `digest_set.md` print."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tunegate.exceptions import ConfigError
from tunegate.promotion.subjects import digests_of, dir_hash, subjects_of

SHELL = "find . -type f | cut -c3- | LC_ALL=C sort | xargs -r sha256sum | sha256sum | cut -f1 -d' '"
"""The definition of `dirHash` in in-toto's `digest_set.md`, word for word."""


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    return folder


def in_shell(line: str, folder: Path) -> str:
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "names",
    [
        ("config.json",),
        ("b", "a", "B", "a.b", "c/b", "c-b", "c.b", "c/b.c/d", "Ä", "z/ä", "a_b", "10", "9"),
        ("config.json", "model-00001-of-00002.safetensors", "ref/adapter_config.json", "tokenizer/merges.txt"),
    ],
)
def test_the_hash_of_a_folder_is_that_of_the_shell(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = write(tmp_path, *names)
    assert dir_hash(digests_of(folder)) == in_shell(SHELL, folder)


def test_a_name_with_a_space_is_hashed_as_sha256sum_writes_it(tmp_path: Path) -> None:
    """The line of the specification splits names at spaces; with NUL bytes between the names it does not."""
    folder = write(tmp_path, "a b", "a", "c  d/e f")
    line = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -f1 -d' '"
    assert dir_hash(digests_of(folder)) == in_shell(line, folder)


def test_the_example_of_the_specification() -> None:
    """`github.com/marklodato/go-hello-world@v0.0.1`, as digest_set.md gives it."""
    place = "github.com/marklodato/go-hello-world@v0.0.1/"
    files = {
        place + "main.go": "ddc4da627d9a9f45fb29641a1b185d6f53287ecfd921aacbf4fe54b7a86fe8d1",
        place + "README.md": "3a137eef6458bfb76bb2c63fc29ffc7166604d2d2e09ed9d8250a534122a8364",
        place + "go.mod": "28e7c942a036902d981759d0bf5704d2bfc7cb500caf68b84711b234af01c6a5",
    }
    assert dir_hash(files) == "2a1bb6127fb481c60f67692e22285fb306f3c6ffe62075e0ccf674d7c3adcb8f"


def test_the_folder_and_each_of_its_files_is_a_subject(tmp_path: Path) -> None:
    folder = write(tmp_path, "weights.safetensors", "ref/config.json")
    first, *files = subjects_of(folder)
    assert first == {"name": "model/", "digest": {"dirHash": in_shell(SHELL, folder)}}
    lines = in_shell("LC_ALL=C sha256sum ref/config.json weights.safetensors", folder).splitlines()
    assert files == [{"name": name, "digest": {"sha256": sha256}} for sha256, name in map(str.split, lines)]


def test_what_a_training_left_is_no_subject(tmp_path: Path) -> None:
    """As `promote` leaves it out: see `files_of`."""
    folder = write(tmp_path, "weights.safetensors")
    subjects = subjects_of(folder)
    write(folder, "README.md", "training_args.bin", "checkpoint-1/weights.safetensors", ".DS_Store")
    assert subjects_of(folder) == subjects
    assert [subject["name"] for subject in subjects] == ["model/", "weights.safetensors"]


def test_a_model_that_is_one_file(tmp_path: Path) -> None:
    write(tmp_path, "m.gguf")
    [subject] = subjects_of(tmp_path / "m.gguf")
    assert subject["name"] == "m.gguf"
    assert in_shell("sha256sum m.gguf", tmp_path).split()[0] == subject["digest"]["sha256"]


@pytest.mark.parametrize("name", [b"a\nb", b"a\\b", b"a\rb", b"\xff"])
def test_a_name_that_the_two_definitions_write_differently_is_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_text("x")
    with pytest.raises(ConfigError, match=r"name .* cannot be signed; rename it"):
        digests_of(tmp_path)
