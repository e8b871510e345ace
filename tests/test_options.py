"""Every key that a user can write takes effect or is refused; a key without a proof turns this red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import option_checks
import option_commands
import option_pipelines
import option_suites
import pytest
from option_proofs import Proof, Proofs, fresh
from option_walk import command_keys, file_keys

PROOFS: Proofs = {**option_suites.PROOFS, **option_checks.PROOFS, **option_pipelines.PROOFS, **option_commands.PROOFS}
WHERE = "tests/option_suites.py, option_checks.py, option_pipelines.py or option_commands.py"


@pytest.mark.parametrize("keys", [file_keys, command_keys])
def test_every_key_has_a_proof(keys: object) -> None:
    missing = sorted((file_keys() | command_keys()) - PROOFS.keys())
    lines = "".join(f'\n    "{key}": ...,' for key in missing)
    assert not missing, f"add to PROOFS in {WHERE}, with two files that differ in the key alone:{lines}"


def test_no_proof_is_of_a_key_that_is_gone() -> None:
    assert not PROOFS.keys() - file_keys() - command_keys()


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
