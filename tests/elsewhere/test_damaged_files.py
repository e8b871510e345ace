"""Any damage to a file of another tool gives one clear line, or the file is still read: never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.damage import VALUES, places, with_value
from tests.support.elsewhere_files import FILES, Held, named
from tunegate.elsewhere.read import read_results
from tunegate.elsewhere.results import Picks
from tunegate.exceptions import ConfigError, MissingExtra

TEXTS = [held for held in FILES if held.path.suffix != ".eval"]


def one_line_or_read(path: Path, picks: Picks) -> None:
    try:
        read_results(path, picks)
    except (ConfigError, MissingExtra) as error:
        message = str(error)
    else:
        message = "it was read"
    assert message
    assert "\n" not in message


def small(held: Held) -> list[Any]:
    """The values of a file: its document with few samples, or its first lines."""
    text = held.path.read_text()
    if held.path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()[:4]]
    document = json.loads(text)
    if "samples" in document:
        document["samples"] = [
            {key: one for key, one in sample.items() if key not in ("events", "events_data")}
            for sample in document["samples"][:2]
        ]
    elif "results" in document:
        document["results"]["results"] = document["results"]["results"][:6]
    return [document]


SMALL = {named(held): small(held) for held in TEXTS}


@pytest.mark.parametrize("held", TEXTS, ids=named)
@given(data=st.data())
def test_any_value_may_be_replaced_or_lost(held: Held, tmp_path: Path, data: st.DataObject) -> None:
    rows = SMALL[named(held)]
    number = data.draw(st.integers(0, len(rows) - 1))
    keys = data.draw(st.sampled_from(places(rows[number])[1:]))
    damaged = with_value(rows[number], keys, data.draw(VALUES), drop=data.draw(st.booleans()))
    path = tmp_path / held.path.name
    path.write_text("".join(json.dumps(damaged if at == number else row) + "\n" for at, row in enumerate(rows)))
    one_line_or_read(path, Picks(**held.flags))


@pytest.mark.parametrize("held", TEXTS, ids=named)
@given(data=st.data())
def test_any_bytes_may_be_cut_or_changed(held: Held, tmp_path: Path, data: st.DataObject) -> None:
    whole = "".join(json.dumps(row) + "\n" for row in SMALL[named(held)]).encode()
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 400)))
    path = tmp_path / held.path.name
    path.write_bytes(
        whole[:start] + data.draw(st.binary(max_size=6)) + (whole[end:] if data.draw(st.booleans()) else b"")
    )
    if path.stat().st_size:
        one_line_or_read(path, Picks(**held.flags))


@given(data=st.data())
def test_any_bytes_of_an_archive_may_be_cut_or_changed(tmp_path: Path, data: st.DataObject) -> None:
    pytest.importorskip("zstandard")
    [held] = [one for one in FILES if one.path.suffix == ".eval"]
    whole = held.path.read_bytes()
    start = data.draw(st.integers(4, len(whole) - 1))
    end = data.draw(st.integers(start, min(len(whole), start + 3000)))
    path = tmp_path / "log.eval"
    path.write_bytes(
        whole[:start] + data.draw(st.binary(max_size=6)) + (whole[end:] if data.draw(st.booleans()) else b"")
    )
    one_line_or_read(path, Picks())


def test_a_second_answer_to_a_document_is_refused(tmp_path: Path) -> None:
    """Numbered like an equal document, the right one of two answers would pass."""
    row = {
        "doc_id": 3, "doc": {"question": "q"}, "target": "a", "arguments": [["q", {"until": []}]], "resps": [["a"]],
        "filtered_resps": ["a"], "filter": "none", "metrics": ["exact_match"], "doc_hash": "0f", "exact_match": 1.0,
    }  # fmt: skip
    path = tmp_path / "samples_sums.jsonl"
    path.write_text("".join(json.dumps({**row, "filtered_resps": [said]}) + "\n" for said in ("a", "b")))
    with pytest.raises(
        ConfigError, match=r"sums.jsonl:2: this is a second answer to document 3, first at .*sums.jsonl:1"
    ):
        read_results(path, Picks())
    path.write_text("".join(json.dumps({**row, "doc_id": number}) + "\n" for number in (3, 4)))
    assert len(read_results(path, Picks()).answers) == 2
