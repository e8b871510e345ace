"""Whether a tag may be released: `make release-check TAG=v0.1.0` asks, and the release workflow does."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator

from tests.support.hashed_constraints import HASHED, PINS, pins
from tests.support.places import ROOT
from tunegate import __version__


def faults(tag: str, changelog: str, declared: str, version: str = __version__) -> Iterator[str]:
    """What prevents the release; `declared` is the version of pyproject.toml."""
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        yield f"version {version}: expected MAJOR.MINOR.PATCH"
    if declared != version:
        yield f"pyproject.toml has the version {declared}, tunegate.__version__ is {version}"
    if tag != f"v{version}":
        yield f"tag {tag}: the version is {version}, so the tag must be v{version}"
    heading = re.search(rf"^## {re.escape(version)}\b(.*)$", changelog, re.M)
    if heading is None:
        yield f"CHANGELOG.md has no heading `## {version}`"
    elif "unreleased" in heading[1]:
        yield f"CHANGELOG.md: {version} is unreleased; replace the word with the date"


def main(tag: str) -> int:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    found = list(faults(tag, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), declared))
    if pins(PINS.read_text(encoding="utf-8")) != pins(HASHED.read_text(encoding="utf-8")):
        found.append("constraints-hashed.txt has other versions than constraints.txt; run `make hashes`")
    print("\n".join(found) or f"{tag} can be released")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
