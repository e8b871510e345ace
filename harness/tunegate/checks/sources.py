"""The source files that a user's function depends on: its module and the local modules that the module imports.

They are found by reading all `import` statements in a file; nothing is run. A module is local if it is neither in
Python's own library nor installed in site-packages: those have versions, which a run records. Modules whose name is
built at run time, and data files that the code reads, are not found.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from tunegate.hashes import sha256_of

OWN = ("tunegate", "tunegate_suites", "tunegate_trainers", "tunegate_reports")
"""A run records the version of Tunegate, so modules that a metric imports from it are not its helpers."""


def local_sources(module: str, file: Path, folder: Path) -> dict[str, Path]:
    """Module name to file: the module itself and all local modules that it imports, directly or through others.

    Imports are searched for in `folder` first and then on Python's path, as when the module runs.
    """
    roots = [folder, *(Path(entry) for entry in sys.path if not is_installed(Path(entry)))]
    found = {module: file}
    waiting = [module]
    while waiting:
        importer = waiting.pop()
        for name in _imports(importer, found[importer]):
            path = None if name in found else _locate(name, roots)
            if path is not None:
                found[name] = path
                waiting.append(name)
    return found


def dotted_name(file: Path) -> tuple[str, Path]:
    """The full name of a module with the packages around it, and the folder in which the name starts."""
    parts, folder = [file.stem], file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder


def sources_sha256(sources: Mapping[str, Path]) -> str:
    """SHA-256 over one line per module, `<name>\\0<SHA-256 of the file>\\n`, sorted; their location does not matter."""
    lines = (f"{name}\0{sha256_of(path)}\n" for name, path in sorted(sources.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _locate(name: str, roots: Sequence[Path]) -> Path | None:
    """The file of a local module; None for a module that is installed, built in, without a file, or missing."""
    top = name.partition(".")[0]
    if top in OWN or not all(part.isidentifier() for part in name.split(".")):
        return None
    inner = Path(*name.split("."))
    for root in (*roots, *_editable(top)):
        for path in (root / inner / "__init__.py", root / inner.with_suffix(".py")):
            if path.is_file():
                return path
    return None


def _editable(top: str) -> Iterator[Path]:
    """The folder of a package that an import hook finds, which is how editable installs may work."""
    if top in sys.stdlib_module_names:
        return
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: a module without a spec
        return
    if spec is not None and spec.origin and not is_installed(Path(spec.origin)):
        yield Path(spec.origin).parent.parent if spec.submodule_search_locations else Path(spec.origin).parent


def is_installed(path: Path) -> bool:
    """Whether a file or folder belongs to Python's own library or to an installed distribution."""
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(map(path.is_relative_to, _library()))


@cache
def _library() -> tuple[Path, ...]:
    """The folders of Python's own modules and of installed packages; finding them takes milliseconds."""
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _imports(module: str, file: Path) -> Iterator[str]:
    """Every module that a file may import, by absolute name, parents first; `from a import b` may mean `a.b`."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # Python could not import it either
    for node in ast.walk(tree):
        for name in _named(node, package):
            parts = name.split(".")
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _named(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            base = _absolute("." * level + (module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in names)
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield _absolute(name, package)
        case _:
            pass


def _absolute(name: str, package: str) -> str:
    try:
        return importlib.util.resolve_name(name, package)
    except ImportError:  # relative, and beyond the top of the package: it would fail when run, too
        return ""
