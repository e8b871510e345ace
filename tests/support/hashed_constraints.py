"""The versions of constraints.txt with the SHA-256 of every file that the index has of them: `make hashes`.

constraints-hashed.txt has all of them; uv checks the hashes of constraints. requirements-core.txt has what the core
needs; pip checks the hashes of requirements only. torch has no hash, because each kind of build has its own index.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import requires

from tests.support.places import ROOT

PINS = ROOT / "constraints.txt"
HASHED = ROOT / "constraints-hashed.txt"
CORE = ROOT / "requirements-core.txt"
HEAD = "# Made from constraints.txt by `make hashes`: its versions, with the SHA-256 of every file of them on PyPI.\n"
NO_HASH = ("torch",)


def pins(text: str) -> list[str]:
    """`name==version` of every line."""
    return re.findall(r"^([\w.-]+==[\w.!+-]+)", text, re.M)


def written(hashes: Mapping[str, Iterable[str]]) -> str:
    """The file, from the hashes of each pin."""
    lines = [" \\\n    --hash=".join((pin, *sorted(found))) for pin, found in hashes.items()]
    return HEAD + "".join(f"{line}\n" for line in lines)


def core() -> set[str]:
    """The canonical names of the packages that the core needs, and that those need."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: set[str] = set()
    waiting = [*project["dependencies"]]
    while waiting:
        wanted = Requirement(waiting.pop())
        name = canonicalize_name(wanted.name)
        if name not in found and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += requires(name) or []
    return found


def core_of(hashed: str) -> str:
    """The part of the file with hashes that the core needs."""
    from packaging.utils import canonicalize_name

    needed = core()
    blocks = re.findall(r"^[\w.-]+==.*\n(?: +--hash.*\n)*", hashed, re.M)
    return HEAD + "".join(block for block in blocks if canonicalize_name(block.partition("==")[0]) in needed)


def hashes_of(pin: str) -> set[str]:
    """The hashes that the index gives for every file of a version, for any platform; no file is downloaded."""
    from packaging.version import Version
    from piptools.repositories import PyPIRepository

    name, _, version = pin.partition("==")
    repository = PyPIRepository(["--index-url", "https://pypi.org/simple"], cache_dir=str(ROOT / ".cache" / "hashes"))
    with repository.allow_all_wheels():
        links = [one.link for one in repository.find_all_candidates(name) if str(one.version) == str(Version(version))]
    assert links, f"{pin}: the index has no file of it"
    assert {link.hash_name for link in links} == {"sha256"}, f"{pin}: the index gives no SHA-256"
    return {f"sha256:{link.hash}" for link in links}


def main() -> None:
    found = {
        pin: set[str]() if pin.partition("==")[0] in NO_HASH else hashes_of(pin)
        for pin in pins(PINS.read_text(encoding="utf-8"))
    }
    HASHED.write_text(written(found), encoding="utf-8")
    CORE.write_text(core_of(HASHED.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
