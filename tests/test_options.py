"""Every key that a user can write takes effect or is refused; a key without a proof turns this red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import option_checks, option_commands, option_pipelines, option_rules, option_suites
from tests.support.option_proofs import Proof, Proofs, fresh
from tests.support.option_walk import command_keys, file_keys, models
from tunegate_suites import CHECKS

TABLES = (option_suites, option_checks, option_pipelines, option_rules, option_commands)
PROOFS: Proofs = {key: proof for table in TABLES for key, proof in table.PROOFS.items()}


def test_every_key_has_a_proof() -> None:
    missing = sorted((file_keys() | command_keys()) - PROOFS.keys())
    lines = "".join(f"\n    {line_for(key)}" for key in missing)
    assert not missing, f"new keys: add a line for each to PROOFS, with a value that is not the default:{lines}"


def line_for(key: str) -> str:
    """The line to add, and where; what is in capitals is to be filled in."""
    if " " in key and not key.startswith("method "):
        command, _, word = key.rpartition(" ")
        return f'option_commands.py: "{key}": words("{command} WITH WHAT IT NEEDS", "{word} VALUE"),'
    name, _, option = key.rpartition(".")
    if name in CHECKS:
        return f'option_checks.py: "{key}": check("{name}", {{"{option}": VALUE}}, sample("ANSWER", "REFERENCE")),'
    if models()[name].__module__ == "tunegate.suites.suite_spec":
        return f'option_suites.py: "{key}": suite({{"PATH.{option}": VALUE}}),'
    if models()[name].__module__.startswith("tunegate_suites"):
        return f'option_checks.py: "{key}": check("CHECK", {{"PATH.{option}": VALUE}}, sample("ANSWER", "REFERENCE")),'
    return f'option_pipelines.py: "{key}": run({{"stages.0.PATH.{option}": VALUE}}),'


def test_the_line_to_add_is_told() -> None:
    assert (
        line_for("gate --new") == 'option_commands.py: "gate --new": words("gate WITH WHAT IT NEEDS", "--new VALUE"),'
    )
    assert 'check("exact", {"normalize": VALUE}' in line_for("exact.normalize")
    assert line_for("PlanSpec.draw").startswith('option_suites.py: "PlanSpec.draw": suite(')
    assert line_for("WatchSpec.gate").startswith("option_pipelines.py: ")


def test_each_proof_is_of_a_key_and_stands_in_one_table() -> None:
    assert not PROOFS.keys() - file_keys() - command_keys()
    assert len(PROOFS) == sum(len(table.PROOFS) for table in TABLES)


@pytest.mark.parametrize("key", sorted(PROOFS))
def test_the_key_takes_effect_or_is_refused(key: str, tmp_path: Path) -> None:
    proofs = PROOFS[key]
    for number, proof in enumerate(proofs if isinstance(proofs, Sequence) else [proofs]):
        folder = tmp_path / str(number)
        folder.mkdir()
        proof.hold(folder)


def one_of_each() -> dict[str, Proof]:
    """A proof for each way to observe."""
    proofs = [one for some in PROOFS.values() for one in (some if isinstance(some, Sequence) else [some])]
    return {proof.observe.__name__: proof for proof in proofs if isinstance(proof, Proof)}


@pytest.mark.parametrize("name", sorted(one_of_each()))
def test_the_same_file_is_observed_twice_alike(name: str, tmp_path: Path) -> None:
    """Else anything would seem to change anything."""
    proof = one_of_each()[name]
    again = proof.observe(fresh(tmp_path / "again"), proof.without)
    assert proof.before(tmp_path / "before") == again
