"""`tunegate keygen`, and the private key that --sign names."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from tunegate.commands import console
from tunegate.exceptions import ConfigError
from tunegate.promotion.keys import PrivateKey, load_private, public_place, write_keys


def make_keys(options: Namespace) -> int:
    """Make a key pair, and print where the keys are and the hint by which signatures name the public key."""
    private = Path(options.file)
    public = write_keys(private, _password(options))
    if options.json:
        places = {"private_key": str(private), "public_key": str(public_place(private))}
        console.show_json({**places, "hint": public.hint})
        return 0
    console.show(f"private key: {private}")
    console.show(f"public key: {public_place(private)}")
    console.show(f"hint: {public.hint}")
    return 0


def signer_of(options: Namespace) -> PrivateKey | None:
    """The private key that --sign names; None without --sign. Raises ConfigError if the key cannot be used."""
    if options.sign is None:
        if options.password_env is not None:
            raise ConfigError("--password-env: has no effect without --sign; leave it out")
        return None
    return load_private(Path(options.sign), _password(options))


def _password(options: Namespace) -> bytes | None:
    if options.password_env is None:
        return None
    password = os.environ.get(options.password_env)
    if not password:
        raise ConfigError(
            f"--password-env {options.password_env}: this variable is not set; put the key's password in it"
        )
    return os.fsencode(password)
