"""Where a report is written: whole or not at all, through a link, and into a device without replacing it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tunegate.exceptions import CannotJudge
from tunegate_reports.files import write_atomically


def test_a_report_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    for text in ("old", "new \ud800"):
        write_atomically(path, text)
    assert path.read_text() == "new \\ud800"
    assert os.listdir(path.parent) == ["report.html"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "real" / "report.html")
    write_atomically(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "real" / "report.html").read_text() == "text"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no such device here")
def test_a_full_device_is_told_and_stays_a_device() -> None:
    with pytest.raises(CannotJudge, match="No space left"):
        write_atomically(Path("/dev/full"), "text")
    assert Path("/dev/full").is_char_device()
