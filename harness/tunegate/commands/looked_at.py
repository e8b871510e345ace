"""What a suite, judge or pipeline file would run, read and contact: the safe look of `tunegate check`.

Nothing that the file names is run, opened or contacted, except the files with its options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError, TunegateError
from tunegate.reading.files import model_place, resolve
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import KeyPath, YamlFile, load_yaml
from tunegate.suites.places import suite_place
from tunegate.trust.allowed import Trust, in_one_line, refusals, user_trust
from tunegate.trust.wants import Wants, all_of, outside_of
from tunegate.verdicts.limits import BASE

WantsOfCheck = Callable[[object, Path, Path | None], Sequence[tuple[Path | None, Wants]]]
"""What the check of an entry wants, with the file of its options: `tunegate_suites.wants_of_check`."""
Place = tuple[YamlFile, KeyPath]
JUDGES = ("model", "server", "compare", "panel")


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What a file and the files that it names want. `refused` has a line for each thing that the user does not allow.

    `outside` are the files that they read outside the folder of the file, `written` the folders that they write there.
    """

    wants: Wants
    outside: tuple[Path, ...]
    written: tuple[Path, ...]
    refused: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        wants = self.wants.to_json()
        outside = {"read": list(map(str, self.outside)), "write": list(map(str, self.written))}
        return {"wants": {**wants, **outside}, "refused": list(self.refused)}


def look_at(path: Path, wants_of_check: WantsOfCheck, trust: Trust) -> LookedAt:
    """Look at a file; a part of it that is wrong wants nothing. Raises ConfigError if it is not a YAML file."""
    found = list(_in_file(load_yaml(path), wants_of_check))
    refused: list[str] = []
    for (file, keys), by, wants in found:
        for line in refusals(wants, by, trust):
            inner = line if by == file.path else f"{by}: {line}"
            refused.append(str(file.error(keys, inner)))
    wants = all_of(wants for _, _, wants in found)
    wants = replace(wants, admissions=tuple(one for one in wants.admissions if not _ships(one)))
    ships = [one for one in wants.reads if _ships(one)]
    outside = tuple(one for one in outside_of(path.parent, wants.reads) if one not in ships)
    written = outside_of(path.parent, [one.path for one in wants.writes])
    return LookedAt(wants, outside, written, tuple(dict.fromkeys(refused)))


def check_allowed(path: Path, wants_of_check: WantsOfCheck) -> None:
    """Raise ConfigError with all that a file wants and the user does not allow, before anything is run.

    Building the checks would find it too, but one at a time, and after the code of the checks before was imported.
    """
    if lines := look_at(path, wants_of_check, user_trust()).refused:
        raise ConfigError(in_one_line(lines))


def is_judge(data: object) -> bool:
    """Whether a file has the options of a judge."""
    keys = _mapping(data).keys()
    return not keys & {"cases", "stages", "suites", "name"} and bool(keys & set(JUDGES))


Found = tuple[Place, Path | None, Wants]


def _in_file(file: YamlFile, wants_of_check: WantsOfCheck) -> Iterator[Found]:
    data = _mapping(file.data)
    if "stages" in data:
        yield from _in_pipeline(file, data, wants_of_check)
    elif is_judge(data):
        yield from _of_entry((file, ()), {"judge": file.path.name}, wants_of_check)
    else:
        yield from _in_suite(file, (), data, wants_of_check)


def _in_pipeline(file: YamlFile, data: Mapping[str, Any], wants_of_check: WantsOfCheck) -> Iterator[Found]:
    from tunegate.pipeline.pipeline_spec import PipelineSpec
    from tunegate.pipeline.wants import wants_of_pipeline

    with suppress(TunegateError):
        spec = read_spec(PipelineSpec, file)
        for keys, wants in wants_of_pipeline(spec, file.path.parent):
            yield (file, keys), file.path, wants
    for name, entry in _mapping(data.get("suites")).items():
        if isinstance(entry, str):
            with suppress(TunegateError):
                yield from _in_file(load_yaml(suite_place(entry, file.path.parent)), wants_of_check)
        else:
            yield from _in_suite(file, ("suites", name), _mapping(entry), wants_of_check)


def _in_suite(file: YamlFile, keys: KeyPath, data: Mapping[str, Any], wants_of_check: WantsOfCheck) -> Iterator[Found]:
    from tunegate.models.open_model import wants_of

    place = data.get("cases")
    place = _mapping(place).get("path", place)
    if isinstance(place, str):
        with suppress(TunegateError):
            reads = (file.path, resolve(place, file.path.parent))
            yield (file, (*keys, "cases")), file.path, Wants(reads=reads)
    for name, limit in _mapping(data.get("limits")).items():
        if isinstance(baseline := _mapping(limit).get("baseline"), str) and baseline != BASE:
            with suppress(TunegateError):
                place = model_place(baseline, file.path.parent)
                yield (file, (*keys, "limits", name, "baseline")), file.path, wants_of(place, "limits.baseline")
    checks = data.get("checks")
    for index, entry in enumerate(cast("list[object]", checks) if isinstance(checks, list) else []):
        yield from _of_entry((file, (*keys, "checks", index)), entry, wants_of_check)


def _mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a mapping; a wrong part of a file wants nothing."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _of_entry(place: Place, entry: object, wants_of_check: WantsOfCheck) -> Iterator[Found]:
    file = place[0].path
    with suppress(TunegateError):
        for by, wants in wants_of_check(entry, file.parent, file):
            yield place, by, wants


def _ships(path: Path) -> bool:
    return path.resolve().is_relative_to(resolve("package:tunegate_suites/data", Path()).resolve())
