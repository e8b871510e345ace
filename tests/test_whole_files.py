"""Files and folders written whole: the old one or the new one, on the disk, with nothing left beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tunegate.whole_files import place_folder, replace_file, write_first, write_whole


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was waited for until the disk had it, in order."""
    names: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: names.append(Path(os.readlink(f"/proc/self/fd/{fd}")).name))
    return names


def test_a_file_and_its_folder_are_on_the_disk(tmp_path: Path, synced: list[str]) -> None:
    write_whole(tmp_path / "new" / "a.txt", "text\ud800")
    assert (tmp_path / "new" / "a.txt").read_text() == "text\\ud800"
    assert synced[0].startswith(".a.txt.")
    assert synced[1:] == ["new"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_the_first_writer_of_several_counts(tmp_path: Path, synced: list[str]) -> None:
    for content in (b"first", b"second"):
        write_first(tmp_path / "result.json", content)
    assert (tmp_path / "result.json").read_bytes() == b"first"
    assert synced.count(tmp_path.name) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_all_of_a_folder_is_on_the_disk_before_it_is_in_its_place(tmp_path: Path, synced: list[str]) -> None:
    (tmp_path / "draft" / "sub").mkdir(parents=True)
    (tmp_path / "draft" / "sub" / "a.txt").write_text("a")
    (tmp_path / "draft" / "link").symlink_to("nowhere")
    place_folder(tmp_path / "draft", tmp_path / "place")
    assert sorted(synced[:-1]) == ["a.txt", "draft", "sub"]
    assert synced[-1] == tmp_path.name
    assert (tmp_path / "place" / "sub" / "a.txt").read_text() == "a"


def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "a.txt", b"new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_link_is_written_through_or_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", "through")
    assert (tmp_path / "real").read_text() == "through"
    replace_file(tmp_path / "link", b"instead")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "through"


def test_no_other_module_moves_a_draft_into_place() -> None:
    allowed = {"whole_files.py", "gguf.py"}  # gguf.py moves a folder of a cache whose content is checked at each use
    for package in ("harness", "suites", "trainers", "reports"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert path.name in allowed or not {"os.replace(", "os.fsync(", "mkstemp("} & set(text.split()), path
            assert path.name in allowed or "os.replace(" not in text, path
