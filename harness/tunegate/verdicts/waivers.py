"""Waivers: named, reasoned, expiring permissions to pass a failed gate, from a file that people review.

    waivers:
      - gate: facts
        stage: sft            # optional; without it, the gate of any stage
        owner: ada@example.org
        reason: the carrier questions are mislabelled upstream, see ticket 412
        expires: 2026-03-31   # the last day on which it is valid; at most 90 days ahead

A waiver excuses only a FAIL. INVALID, INCONCLUSIVE and TAMPERED are open questions, not failures that can be excused. A
waiver applies to the gate's name: a waiver for `facts` also excuses the confirming and the retention draws of `facts`,
in the stage that it names (without `stage`: in every stage).

Nothing here reads the clock: the caller passes the date and records it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import nearest
from tunegate.reading.spec import Spec, read_spec
from tunegate.reading.yaml_file import KeyPath, YamlFile, load_yaml
from tunegate.text.normal_form import undisguised, visible
from tunegate.text.words import has_words_of_one_character, length_in_words, words

MAX_DAYS = 90
"""How far ahead a waiver may expire: for a longer time, change the gate."""

MIN_REASON_WORDS = 5
"""The number of different words; in scripts without spaces, several characters count as one (`length_in_words`)."""

SHORTEST_WORD = 3
"""The number of letters; shorter words do not count."""

MIN_WORDS_WITH_TICKET = 3
"""The number of different words when the reason names a ticket or a date, which a reader can follow up."""

_TICKET_OR_DATE = re.compile(
    r"#\d+|\b[A-Za-z][A-Za-z0-9]*-\d+|https?://\S+|\d{3,}|\d{1,4}[-./年]\d{1,2}(?:[-./月]\d{1,4})?"
)

_IS_NOBODY = (
    "admin anon anonymous anyone everyone me n/a na nobody none owner someone tba tbd team todo unknown user xxx"
)

NO_OWNER = frozenset(_IS_NOBODY.split())
"""Owners that nobody can ask about the waiver."""

_NOBODYS_LETTERS = {"".join(filter(str.isalpha, name)) for name in NO_OWNER}


@dataclass(frozen=True, slots=True)
class Waiver:
    """Permission to pass a failed gate of one stage or (None) of any stage, up to and including the day `expires`."""

    gate: str
    reason: str
    owner: str
    expires: date
    stage: str | None = None
    approved_by: str | None = None
    """A second person, where a registry's policy demands one."""

    @property
    def in_words(self) -> str:
        """For the report's first screen."""
        of_stage = f" of stage {self.stage}" if self.stage else ""
        people = f"{self.owner} and {self.approved_by}" if self.approved_by else self.owner
        return f"gate {self.gate}{of_stage}: waived by {people} until {self.expires}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """For the record; `waiver_from_json` is the inverse."""
        facts = {**asdict(self), "expires": self.expires.isoformat()}
        if self.approved_by is None:
            del facts["approved_by"]
        return facts


def waiver_from_json(data: Mapping[str, Any]) -> Waiver:
    """The waiver in a record; raises TypeError, KeyError or ValueError for anything else."""
    fields: dict[str, Any] = {**data, "expires": date.fromisoformat(data["expires"])}
    return Waiver(**fields)


# --- using them ----------------------------------------------------------------------------------------------------


def covering(waivers: Sequence[Waiver], gate: str, stage: str | None, today: date) -> Waiver | None:
    """The waiver that is valid today for a gate; a waiver for this stage comes before a waiver for any stage."""
    fitting = [w for w in waivers if w.gate == gate and w.stage in (stage, None) and today <= w.expires]
    return min(fitting, key=lambda waiver: waiver.stage is None, default=None)


def excuse(waivers: Sequence[Waiver], gate: str, stage: str | None, verdict: Verdict, today: date) -> Waiver | None:
    """The waiver that excuses a gate with this verdict; None if there is no waiver, or the verdict is not FAIL."""
    return covering(waivers, gate, stage, today) if verdict is Verdict.FAIL else None


def had_expired(waiver: Waiver, moment: str) -> bool:
    """Whether a waiver had expired at a moment of a record (RFC 3339, UTC): whether its last day was over everywhere.

    Records have no time zone, and a waiver's last day is the day where its owner is; it ends last at UTC-12.

    Example:
        >>> until = Waiver("facts", "why", "ada", date(2026, 3, 31))
        >>> had_expired(until, "2026-04-01T11:59:59Z"), had_expired(until, "2026-04-01T12:00:00Z")
        (False, True)
    """
    return (datetime.fromisoformat(moment) - timedelta(hours=12)).date() > waiver.expires


# --- reading them --------------------------------------------------------------------------------------------------


def _not_empty(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise ValueError("a text was expected, got an empty one")
    return text


NonEmpty = Annotated[str, AfterValidator(_not_empty)]


def _visible_form(text: str) -> str:
    return unicodedata.normalize("NFKC", visible(text))


def _enough_reason(reason: str) -> str:
    """A reason is judged by its length, in any language, not by its content: people review the file."""
    found = words(undisguised(_TICKET_OR_DATE.sub(" ", reason)))
    counted = {word for word in found if sum(map(str.isalpha, word)) >= SHORTEST_WORD or _counts_alone(word)}
    enough = MIN_WORDS_WITH_TICKET if _TICKET_OR_DATE.search(reason) else MIN_REASON_WORDS
    if length_in_words(" ".join(sorted(counted))) < enough:
        raise ValueError(
            f"{reason!r} is too vague; say in at least {MIN_REASON_WORDS} different words what is wrong and why the "
            f"gate may still pass, or in at least {MIN_WORDS_WITH_TICKET} words with a ticket or a date"
        )
    return reason


def _counts_alone(word: str) -> bool:
    """Whether this is a letter that counts as a word, of a script without spaces."""
    return word[0].isalpha() and has_words_of_one_character(word)


def _named_person(owner: str) -> str:
    letters = "".join(filter(str.isalpha, undisguised(owner)))
    if not letters or letters in _NOBODYS_LETTERS:
        raise ValueError(f"{owner!r} is not a person; name the person who is responsible for this waiver")
    return owner


def _a_date(text: str) -> str:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            date.fromisoformat(text)
            return text
    except ValueError:
        pass
    raise ValueError(f"a date such as 2026-03-31 was expected, got {text!r}")


class WaiverSpec(Spec):
    """A waiver in the file."""

    gate: NonEmpty
    stage: NonEmpty | None = None
    """The stage of the gate; default: any stage."""
    owner: Annotated[str, AfterValidator(_visible_form), AfterValidator(_not_empty), AfterValidator(_named_person)]
    """The person who is responsible for it."""
    approved_by: (
        Annotated[str, AfterValidator(_visible_form), AfterValidator(_not_empty), AfterValidator(_named_person)] | None
    ) = None
    """A second person who agrees; a registry's policy may demand one."""
    reason: Annotated[str, AfterValidator(_visible_form), AfterValidator(_not_empty), AfterValidator(_enough_reason)]
    expires: Annotated[str, AfterValidator(_a_date)]
    """The last day on which it is valid, YYYY-MM-DD, at most 90 days ahead."""


class WaiversSpec(Spec):
    """A file of waivers."""

    waivers: Annotated[list[dict[str, Any]], Field(min_length=1)]


def read_waivers(path: Path, gates: Mapping[str, Collection[str]], today: date) -> tuple[Waiver, ...]:
    """Read and validate a file of waivers; `gates` holds, for every stage, the names of its gates.

    Raises ConfigError, with file, line and key, for the first waiver that is expired, vague, without a responsible
    person, for a gate or stage that does not exist, for longer than MAX_DAYS, or duplicated.
    """
    file = load_yaml(path)
    items = read_spec(WaiversSpec, file).waivers
    found: dict[tuple[str, str | None], int] = {}
    waivers: list[Waiver] = []
    for number, item in enumerate(items):
        keys: KeyPath = ("waivers", number)
        spec = read_spec(WaiverSpec, file, keys, item)
        _check_names(file, keys, spec, gates)
        first = found.setdefault((spec.gate, spec.stage), number)
        if first != number:
            raise file.error(keys, f"gate {spec.gate!r} is waived twice, first by waivers[{first}]")
        expires = date.fromisoformat(spec.expires)
        _check_expiry(file, (*keys, "expires"), expires, today)
        waivers.append(Waiver(spec.gate, spec.reason, spec.owner, expires, spec.stage, spec.approved_by))
    return tuple(waivers)


def _check_names(file: YamlFile, keys: KeyPath, spec: WaiverSpec, gates: Mapping[str, Collection[str]]) -> None:
    if spec.stage is not None and spec.stage not in gates:
        raise file.error((*keys, "stage"), f"no stage {spec.stage!r}{nearest(spec.stage, gates)}")
    known = _union(gates.values()) if spec.stage is None else set(gates[spec.stage])
    if spec.gate not in known:
        where = f" in stage {spec.stage!r}" if spec.stage else ""
        raise file.error((*keys, "gate"), f"no gate {spec.gate!r}{where}{nearest(spec.gate, known)}")


def _union(names: Iterable[Collection[str]]) -> set[str]:
    return {name for some in names for name in some}


def _check_expiry(file: YamlFile, keys: KeyPath, expires: date, today: date) -> None:
    if expires < today:
        raise file.error(keys, f"expired on {expires}, and today is {today}; fix the gate, or renew the waiver")
    latest = today + timedelta(days=MAX_DAYS)
    if expires > latest:
        raise file.error(keys, f"{expires} is more than {MAX_DAYS} days ahead; the latest date allowed is {latest}")
