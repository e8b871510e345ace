"""Every data file that ships has the text of its licence beside it, and NOTICE names both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.places import ROOT

NOTICE = (ROOT / "NOTICE").read_text(encoding="utf-8")
DATA = ROOT / "suites" / "tunegate_suites" / "data"
SAMPLES = ROOT / "tests" / "files"
ELSEWHERE = SAMPLES / "elsewhere"
THEIRS = {ELSEWHERE / "every_eval_ever" / name for name in ("eval.schema.json", "instance_level_eval.schema.json")}
OWN = {SAMPLES / "resealed_edits.json", SAMPLES / "lm_eval_piqa.json", DATA / "stereotypes" / "pairs.jsonl"}
OWN |= {SAMPLES / "sweep.json", DATA / "sentences" / "words.jsonl"}
OWN |= set(ELSEWHERE.rglob("*")) - THEIRS
"""Written by Tunegate's tests, or the output of another program on Tunegate's own questions, or on PIQA without a text
of it."""
FILES = [
    path
    for folder in (DATA, SAMPLES)
    for path in sorted(folder.rglob("*"))
    if path.suffix in (".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet") and not path.name.startswith("LICENSE.")
]
FULL = {
    "AFL-3.0": ("Academic Free License", "Modification of This License", 9_000),
    "CC-BY-SA-3.0": ("Attribution-ShareAlike 3.0 Unported", "8. Miscellaneous", 20_000),
    "CC-BY-4.0": ("Attribution 4.0 International", "Interpretation", 4_000),
    "Apache-2.0": ("Apache License", "END OF TERMS AND CONDITIONS", 10_000),
    "MIT": ("Permission is hereby granted, free of charge", "WITHOUT WARRANTY OF ANY KIND", 1_000),
    "CDLA-Sharing-1.0": ("Community Data License Agreement", "Sharing", 4_000),
}
"""The beginning, a late part, and the fewest characters of each licence in full."""


def entries() -> dict[str, str]:
    """Path of a file or folder, as NOTICE has it at the beginning of a line, to what NOTICE says of it."""
    found: dict[str, str] = {}
    for head, text in re.findall(r"^(\S*/\S.*)\n((?: {4}.*\n)+)", NOTICE, re.M):
        for path in re.sub(r" \(.*?\)", "", head).split(", "):
            found[path] = text
    return found


def entry_of(path: Path) -> str:
    name = str(path.relative_to(ROOT))
    places = [place for place in entries() if name == place or (place.endswith("/") and name.startswith(place))]
    assert places, f"NOTICE does not name {name}"
    return entries()[max(places, key=len)]


@pytest.mark.parametrize("path", [path for path in FILES if path not in OWN], ids=lambda path: path.name)
def test_the_licence_of_a_data_file_is_beside_it(path: Path) -> None:
    licences = re.findall(r"Licence: (LICENSE\.\S+\.txt)", entry_of(path))
    assert licences
    for name in licences:
        assert (path.parent / name).is_file(), f"{path}: {name} is not in its folder"


def test_the_issue_names_piqa_and_dolly() -> None:
    assert "LICENSE.piqa-AFL-3.0.txt" in entry_of(DATA / "general" / "piqa.jsonl")
    for name in ("dolly.jsonl", "training.jsonl"):
        assert "LICENSE.dolly-CC-BY-SA-3.0.txt" in entry_of(DATA / "general" / name)


@pytest.mark.parametrize("path", sorted(DATA.rglob("LICENSE.*")) + sorted(SAMPLES.rglob("LICENSE.*")), ids=str)
def test_a_licence_is_there_in_full(path: Path) -> None:
    [kind] = [name for name in FULL if path.name.endswith(f"-{name}.txt")]
    begins, late, least = FULL[kind]
    text = path.read_text(encoding="utf-8")
    assert begins in text
    assert late in text
    assert len(text) >= least


def test_notice_names_only_what_is_there() -> None:
    for place in entries():
        assert (ROOT / place).exists(), place
