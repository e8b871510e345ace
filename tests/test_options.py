"""Every key that a user can write takes effect or is refused; a key without a proof turns this red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import option_checks
import option_suites
import pytest
from option_proofs import Proofs
from option_walk import command_keys, file_keys

PROOFS: Proofs = {**option_suites.PROOFS, **option_checks.PROOFS}
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
