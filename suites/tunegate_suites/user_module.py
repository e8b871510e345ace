"""A user's module that a suite names: its source files, and how it is loaded."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from tunegate.checks.sources import is_installed, local_sources, sources_sha256
from tunegate.exceptions import ConfigError, nearest
from tunegate.trust.wants import Code
from tunegate_suites.foreign import output_aside


@dataclass(frozen=True)
class UserModule:
    """A module next to a suite, or (`folder` is None) on Python's path; `sources` are the files it depends on.

    Modules next to a suite are loaded under unique names, since two suites may each have a `metrics.py` or a
    `helper.py`, and are loaded again when any of their files change: the code that runs is the code that was hashed.
    """

    name: str
    sources: Mapping[str, Path]
    folder: Path | None = None

    @classmethod
    def find(cls, name: str, base_dir: Path) -> UserModule:
        """Find a module, first next to the suite; nothing is imported. Raises ImportError if there is none."""
        folder = base_dir.resolve()
        file = folder.joinpath(*name.split(".")).with_suffix(".py")
        if file.is_file():
            return cls(name, local_sources(name, file, folder), folder)
        found = _on_path(name)
        if found is None:
            return cls(name, {})
        file = found
        return cls(name, {name: file} if is_installed(file) else local_sources(name, file, file.parent))

    @cached_property
    def sha256(self) -> str:
        """Hash of all sources, independent of their folder."""
        return sources_sha256(self.sources)

    def load(self) -> ModuleType:
        """Import the module, or return it if the same sources were loaded before."""
        if self.folder is None:
            return importlib.import_module(self.name)
        if self._alias in sys.modules:
            return sys.modules[self._alias]
        spec = _spec(self._alias, self.sources[self.name])
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.sources[self.name]} is not a Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[self._alias] = sys.modules[self._hidden(self.name)] = module
        try:
            with self.in_place():
                spec.loader.exec_module(module)
        except BaseException:
            for name in (self._alias, *(self._hidden(name) for name in self.sources)):
                sys.modules.pop(name, None)
            raise
        return module

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the module find its neighbours by their plain names, whenever it imports them.

        Outside this context, the same names refer to the modules that other code imported.
        """
        if self.folder is None:
            yield
            return
        others = {name: sys.modules.pop(name) for name in self.neighbours if name in sys.modules}
        loaded = ((name, sys.modules.get(self._hidden(name))) for name in self.neighbours)
        sys.modules.update({name: module for name, module in loaded if module is not None})
        sys.path.insert(0, str(self.folder))
        finder = _Finder({name: self.sources[name] for name in self.neighbours})
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            for name in self.neighbours:
                if name in sys.modules:
                    sys.modules[self._hidden(name)] = sys.modules.pop(name)
            sys.modules.update(others)
            if str(self.folder) in sys.path:
                sys.path.remove(str(self.folder))

    @cached_property
    def neighbours(self) -> list[str]:
        """The modules that are stored beside the suite."""
        folder = self.folder
        return [name for name, path in self.sources.items() if folder is not None and path.is_relative_to(folder)]

    @cached_property
    def _alias(self) -> str:
        digest = hashlib.sha256(bytes(self.sources[self.name]) + self.sha256.encode()).hexdigest()
        return f"_tunegate_metric_{digest[:12]}"

    def _hidden(self, name: str) -> str:
        return f"{self._alias}.{name}"


class _FromSource(SourceFileLoader):
    """Ignores bytecode for a file: it may belong to an earlier text that was edited within the same second.

    Other imported packages keep their bytecode: without it, pandas alone takes a second longer.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


@dataclass(frozen=True, eq=False)
class _Finder(MetaPathFinder):
    """Finds the files that were hashed, by their names."""

    files: Mapping[str, Path]

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        return _spec(fullname, self.files[fullname]) if fullname in self.files else None


def _spec(name: str, file: Path) -> ModuleSpec | None:
    folders = [str(file.parent)] if file.name == "__init__.py" else None
    loader = _FromSource(name, str(file))
    return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=folders)


def _on_path(name: str) -> Path | None:
    """The file of a module on Python's path, found without importing its parents; None for one without a file."""
    if (known := sys.modules.get(name)) is not None:
        return Path(known.__file__) if known.__file__ else None
    parts, spec = name.split("."), None
    for length in range(1, len(parts) + 1):
        within = None if spec is None else spec.submodule_search_locations
        whole = ".".join(parts[:length])
        finders = () if length > 1 and within is None else sys.meta_path
        spec = next((found for one in finders if (found := one.find_spec(whole, within)) is not None), None)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {whole!r}", name=whole)
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def code_of(name: str, base_dir: Path, at: str) -> tuple[Code, ...]:
    """The files that a function's module and its own modules would run, which the option `at` names."""
    try:
        module = UserModule.find(name.partition(":")[0], base_dir)
    except (ImportError, ValueError, OSError):
        return (Code(name, at),)
    if module.folder is None:
        return (Code(name, at, module.sources.get(module.name), beside=False),)
    neighbours = set(module.neighbours)
    return tuple(Code(name, at, path, beside=one in neighbours) for one, path in module.sources.items())


def _parts(name: str) -> tuple[str, str]:
    """The module and the function of `module:function`."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise ConfigError(f"expected module:function, got {name!r}")
    if module.endswith(".py"):
        module = module.removesuffix(".py").replace("/", ".").lstrip(".")
        raise ConfigError(f"expected module:function, got {name!r}; write {module}:{function}")
    return module, function


def check_function(name: str, base_dir: Path) -> UserModule:
    """The module of a function, without running it. Raises ConfigError if the module or the function is missing."""
    module_name, attribute = _parts(name)
    try:
        found = UserModule.find(module_name, base_dir)
        path = found.sources.get(module_name)
        tree = ast.parse(path.read_bytes()) if path is not None and path.suffix == ".py" else None
    except (ImportError, ValueError, OSError, SyntaxError, RecursionError) as error:
        raise _not_imported(module_name, error, base_dir) from error
    names = None if tree is None else _bound(tree)
    if names is not None and attribute not in names:
        functions = [one for one in names if not one.startswith("_")]
        raise ConfigError(f"{module_name!r} has no function {attribute!r}{nearest(attribute, functions)}")
    return found


def _bound(tree: ast.Module) -> list[str] | None:
    """The names that a module may bind; None if it may bind any: by `import *`, or by a function of its own."""
    names: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.append(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names += [(alias.asname or alias.name).partition(".")[0] for alias in aliases]
            case ast.Name(id="globals" | "exec" | "setattr" | "vars"):
                return None
            case _:
                pass
    return None if "*" in names or "__getattr__" in names else names


def _not_imported(module: str, error: BaseException, base_dir: Path) -> ConfigError:
    return ConfigError(
        f"importing {module!r} failed: {type(error).__name__}: {error} (looked in {base_dir} and on Python's path)"
    )


def load_function(name: str, base_dir: Path) -> tuple[Callable[..., Any], UserModule]:
    """A user's function by its `module:function`, and its module; call it within `UserModule.in_place`."""
    module_name, attribute = _parts(name)
    try:
        with output_aside():
            found = UserModule.find(module_name, base_dir)
            module = found.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # anything that the user's module raises during import, including pytest.skip()
        raise _not_imported(module_name, error, base_dir) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        functions = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise ConfigError(f"{module_name!r} has no function {attribute!r}{nearest(attribute, functions)}")
    return function, found
