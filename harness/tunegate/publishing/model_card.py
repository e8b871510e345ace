"""The model card of a promoted model: a section about its gates, and `model-index` results in its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tunegate.exceptions import ConfigError
from tunegate.record.tested import AreasTested
from tunegate.record.tested_words import AREA_WORDS, LIMITS, TITLE, evidence_words, open_words

BEGIN, END = "<!-- tunegate:begin -->", "<!-- tunegate:end -->"
_METADATA = re.compile(r"\A---\s*\n(.*?\n)?---\s*\n", re.DOTALL)
_SECTION = re.compile(rf"\n*{re.escape(BEGIN)}.*?{re.escape(END)}\n*", re.DOTALL)

Json = Mapping[str, Any]


def with_gates(card: str, attestation: Json, name: str, seen: AreasTested) -> str:
    """The model card with the section and the results of this attestation, which replace earlier ones.

    `seen` is what the gates of the model tested, and did not test, of its behaviour towards people.

    The rest of the card and of its metadata is unchanged. Raises ConfigError unless the metadata is a YAML mapping.
    """
    found = _METADATA.match(card)
    try:
        metadata: Any = (yaml.safe_load(found[1] or "") if found else None) or {}
    except yaml.YAMLError as error:
        raise ConfigError(
            f"README.md: its metadata, between the lines `---`, is not YAML; correct it: {error}"
        ) from error
    if not isinstance(metadata, dict):
        raise ConfigError("README.md: its metadata, between the lines `---`, is not a YAML mapping; correct it")
    metadata["model-index"] = [model_index(attestation, name)]
    body = _SECTION.sub("\n\n", card[found.end() :] if found else card).strip("\n")
    head: str = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)  # pyright: ignore[reportUnknownMemberType]
    return "\n\n".join(part for part in (f"---\n{head}---", body, section(attestation, name, seen)) if part) + "\n"


def model_index(attestation: Json, name: str) -> dict[str, Any]:
    """The results in the form of the Hub: one for each required gate, with its suite as the data set."""
    return {"name": name.rpartition("/")[2], "results": [_result(gate) for gate in attestation["gates"]]}


def _result(gate: Json) -> dict[str, Any]:
    asked = gate["asked"] or gate["drawn"]
    rate = {"type": "pass_rate", "name": f"passed {gate['passed']} of {asked}, {gate['accept']} needed"}
    return {
        "task": {"type": "text-generation"},
        "dataset": {"type": "tunegate-suite", "name": str(gate["gate"]), "revision": gate["suite_sha256"]},
        "metrics": [{**rate, "value": round(gate["passed"] / asked, 6) if asked else 0.0}],
        "source": {
            "name": f"Tunegate {gate['stage']}#{gate['attempt']}",
            "url": "https://git.example.org/you/tunegate",
        },
    }


def section(attestation: Json, name: str, seen: AreasTested) -> str:
    """The sections on the gates and on what they tested, in Markdown."""
    rows = [
        f"| {_plain(gate['stage'])} | {_plain(gate['gate'])} | {gate['passed']} of {gate['asked'] or gate['drawn']} | "
        f"{gate['accept']} | {gate['interval'][0]:.1%} to {gate['interval'][1]:.1%} |"
        for gate in attestation["gates"]
    ]
    waived = [f"\nWaived: {_plain(one['gate'])}, until {_plain(one['expires'])}." for one in attestation["waivers"]]
    return "\n".join(
        [
            BEGIN,
            "## Gates",
            "",
            "This model passed the gates that its pipeline required (Tunegate, acceptance sampling).",
            "",
            "| stage | gate | passed | needed | 95 % interval |",
            "|---|---|---:|---:|---|",
            *rows,
            *waived,
            "",
            f"Fingerprint: `{attestation['model_sha256']}`. The evidence is in the folder `tunegate/`; to verify it:",
            f"`tunegate verify hf:{name}@REVISION --key PUBLIC_KEY`.",
            "",
            *_tested(seen),
            END,
        ]
    )


def _tested(seen: AreasTested) -> Iterator[str]:
    """What was tested, and what was not, with a row for each area."""
    yield from (
        f"## {TITLE}",
        "",
        " ".join(filter(None, (LIMITS, open_words(seen)))),
        "",
        "| area | found |",
        "|---|---|",
    )
    for area in seen.areas:
        told = "<br>".join(_plain(evidence_words(one)) for one in seen.evidence if one.area == area)
        yield f"| {AREA_WORDS[area]} | {told} |"
    yield from (f"| {AREA_WORDS[area]} | not tested |" for area in seen.untested)


def _plain(text: object) -> str:
    """Text that cannot end a cell or begin markup."""
    return re.sub(r"[|`<>\[\]*_\\\n\r]", " ", str(text))
