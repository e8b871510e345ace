"""What `promote` and `verify` print of a promotion."""

from __future__ import annotations

from typing import Any

from tunegate.commands.console import show, waived_words
from tunegate.promotion.registry import Promotion


def promotion_as_json(promotion: Promotion) -> dict[str, Any]:
    """A promotion for scripts: `alias` is null if the query was a folder; `aliases` point to these bytes now."""
    return {
        "promoted": True,
        "alias": promotion.alias,
        "aliases": list(promotion.aliases),
        "already": promotion.already,
        **promotion.attestation,
    }


def print_promotion(promotion: Promotion) -> None:
    """Which bytes are promoted, on what evidence, and which aliases point to them."""
    show(f"{promotion.alias or 'promoted'}: {promotion.sha256}")
    for gate in promotion.attestation["gates"]:
        show(f"  {_attested(gate)}")
    for gate in promotion.attestation["other_gates"]:
        show(f"  not required: {_attested(gate)}, {gate['verdict']}")
    for waiver in promotion.attestation["waivers"]:
        show(f"  {waived_words(waiver)}")
    show(f"aliases of these bytes: {', '.join(promotion.aliases) or 'none; no alias points to them now'}")
    if promotion.already:
        show(f"{promotion.alias} already points to them; nothing was changed")
    show(f"registry entry: {promotion.folder}")


def _attested(gate: dict[str, Any]) -> str:
    return f"{gate['stage']}#{gate['attempt']} {gate['gate']}: {gate['passed']} of {gate['asked']}"
