"""Imports a task of lm-evaluation-harness: `generate_until` and `multiple_choice` over local data."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunegate.elsewhere.results import pick
from tunegate.elsewhere.task import Task, as_list, as_mapping, as_text, fill_template, refused
from tunegate.exceptions import ConfigError
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.yaml_file import YamlFile

TOOL = "lm-evaluation-harness"
FORMATS = ("json", "csv", "parquet")
"""The values of `dataset_path` for local files."""
SPLITS = ("test_split", "validation_split", "training_split")
"""The split with the questions: the first of these that the task names."""
READ = (
    *("task", "dataset_path", "dataset_kwargs", *SPLITS, "output_type", "doc_to_text", "doc_to_target"),
    *("doc_to_choice", "description", "target_delimiter", "generation_kwargs", "filter_list", "metric_list"),
    *("num_fewshot", "repeats"),
)
IGNORED = (
    *("task_alias", "tag", "metadata", "fewshot_split", "fewshot_delimiter", "fewshot_config", "dataset_name"),
    *("should_decontaminate", "doc_to_decontamination_query"),
)
"""Keys without effect if there are no few-shot examples: names, notes, and where the examples would come from."""
GENERATION = ("until", "max_gen_toks", "temperature", "do_sample")
CHOICE_METRICS: Mapping[str, Any] = {
    "acc": "choice",
    "acc_norm": {"choice": {"normalize": "chars"}},
    "acc_bytes": {"choice": {"normalize": "bytes"}},
}
HARMLESS = ("take_first", "remove_whitespace")
"""Filters without effect here: there is one answer, and `exact` in its normal form ignores white space around it."""
RAW = "the prompts are asked without a chat template, as lm_eval does by default; without `form: raw` they are a chat"
FIRST = r"\A[\s\S]*?"
"""Before a pattern: its first match, because a suite's `answer` judges the last."""


def recognises(data: Mapping[str, Any]) -> bool:
    """Whether a YAML document is a task."""
    return "task" in data and any(key in data for key in ("doc_to_text", "dataset_path", "include"))


def read(file: YamlFile, wanted: str | None) -> Task:
    """The task as a suite; `wanted` is the filter, if it has several. Raises ConfigError for unsupported features."""
    data: Mapping[str, Any] = file.data
    _refuse_keys(file, data)
    kind = data.get("output_type", "generate_until")
    if kind not in ("generate_until", "multiple_choice"):
        raise refused(file, ("output_type",), f"{kind!r}: only generate_until and multiple_choice can be a suite")
    docs = list(_docs(file, data))
    name = str(data["task"])
    if kind == "multiple_choice":
        rows = [_choice_row(file, data, number, doc) for number, doc in docs]
        checks, notes = _choice_checks(file, data)
        return Task(TOOL, name, rows, checks, notes=notes)
    rows = [_open_row(file, data, number, doc) for number, doc in docs]
    checks, notes = _exact(file, data)
    generate, patterns = _generate(file, data), _patterns(file, data, wanted)
    _refuse_cut_targets(file, patterns, rows)
    return Task(TOOL, name, rows, checks, generate, {"extract": patterns} if patterns else None, notes)


def _refuse_keys(file: YamlFile, data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if key not in READ and key not in IGNORED:
            raise refused(file, (key,), "this key of lm-evaluation-harness cannot be imported")
        if key in ("doc_to_text", "doc_to_target") and not isinstance(value, str):
            raise refused(file, (key,), "a template or the name of a field was expected")
    for key in ("doc_to_text", "doc_to_target"):
        if key not in data:
            raise refused(file, (), f"{key} is missing")
    if data.get("num_fewshot"):
        raise refused(file, ("num_fewshot",), "few-shot examples cannot be imported; write them into doc_to_text")
    if data.get("repeats", 1) != 1:
        raise refused(file, ("repeats",), "several answers cannot be imported; set `generate.samples` in the suite")
    if data.get("target_delimiter", " ") != " ":
        raise refused(file, ("target_delimiter",), "only one space between the prompt and a choice can be imported")


# --- data -----------------------------------------------------------------------------------------------------------


def _docs(file: YamlFile, data: Mapping[str, Any]) -> Iterator[tuple[int, Row]]:
    """The documents of the split with the questions."""
    form = data.get("dataset_path")
    if form not in FORMATS:
        raise refused(file, ("dataset_path",), f"{form!r} is not local data; expected one of {', '.join(FORMATS)}")
    options = as_mapping(file, ("dataset_kwargs",), data.get("dataset_kwargs"))
    if more := [key for key in options if key != "data_files"]:
        raise refused(file, ("dataset_kwargs", more[0]), "only data_files can be imported")
    split = next((as_text(file, (key,), data[key]) for key in SPLITS if key in data), "train")
    files: Any = options.get("data_files")
    if isinstance(files, dict):
        found = cast("Mapping[str, Any]", files)
        if split not in found:
            raise refused(file, ("dataset_kwargs", "data_files"), f"there is no file for the split {split!r}")
        files = found[split]
    for name in cast("list[Any]", files) if isinstance(files, list) else [files]:
        if not isinstance(name, str):
            raise refused(file, ("dataset_kwargs", "data_files"), "the path of a file was expected")
        if not (place := _found(file.path.parent, name)).exists():
            why = f"{name} is neither beside the task nor in the working folder"
            raise refused(file, ("dataset_kwargs", "data_files"), why)
        yield from read_rows(place)


def _found(folder: Path, name: str) -> Path:
    """The file beside the task, or in the working folder, where lm-evaluation-harness looks."""
    return folder / name if (folder / name).exists() else Path(name)


# --- cases ----------------------------------------------------------------------------------------------------------


def _text(data: Mapping[str, Any], key: str, doc: Row, where: str) -> Any:
    """The field that the key names, or its template, filled from the document."""
    said = data[key]
    return doc[said] if said in doc else fill_template(said, doc, f"{where}: {key}")


def _prompt(file: YamlFile, data: Mapping[str, Any], number: int, doc: Row) -> str:
    where = f"{file.path}: document {number}"
    before = fill_template(str(data.get("description") or ""), doc, f"{where}: description")
    return before + str(_text(data, "doc_to_text", doc, where))


def _open_row(file: YamlFile, data: Mapping[str, Any], number: int, doc: Row) -> Row:
    target = _text(data, "doc_to_target", doc, f"{file.path}: document {number}")
    listed = _as_list(target)
    return {"prompt": _prompt(file, data, number, doc), "references": [str(target)] if listed is None else listed}


def _choice_row(file: YamlFile, data: Mapping[str, Any], number: int, doc: Row) -> Row:
    where = f"{file.path}: document {number}"
    choices = _choices(file, data, doc, where)
    gold = _text(data, "doc_to_target", doc, where)
    index = int(gold) if isinstance(gold, int) or (isinstance(gold, str) and gold.isdecimal()) else None
    if index is None and gold not in choices:
        raise ConfigError(f"{where}: doc_to_target: the number or text of a choice was expected, got {gold!r:.60}")
    if index is not None and not 0 <= index < len(choices):
        raise ConfigError(f"{where}: doc_to_target: {index} is not the number of one of {len(choices)} choices")
    return {
        "prompt": _prompt(file, data, number, doc),
        "choices": choices,
        "references": [gold if index is None else choices[index]],
    }


def _choices(file: YamlFile, data: Mapping[str, Any], doc: Row, where: str) -> list[str]:
    said = data.get("doc_to_choice")
    if isinstance(said, list):
        return [fill_template(str(one), doc, f"{where}: doc_to_choice") for one in cast("list[Any]", said)]
    if not isinstance(said, str):
        raise refused(file, ("doc_to_choice",), "a list, a template or the name of a field was expected")
    listed = _as_list(_text(data, "doc_to_choice", doc, where))
    if listed is None:
        raise ConfigError(f"{where}: doc_to_choice: a list of choices was expected")
    return listed


def _as_list(value: Any) -> list[str] | None:
    """A list of texts, which may be written as Python prints a list; None for anything else."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return [str(one) for one in cast("list[Any]", value)] if isinstance(value, list) else None


# --- checks and settings --------------------------------------------------------------------------------------------


def _metrics(file: YamlFile, data: Mapping[str, Any], default: Sequence[str]) -> list[Mapping[str, Any]]:
    listed = as_list(file, ("metric_list",), data.get("metric_list")) or [{"metric": name} for name in default]
    metrics = [as_mapping(file, ("metric_list", place), one) for place, one in enumerate(listed)]
    for place, one in enumerate(metrics):
        as_text(file, ("metric_list", place, "metric"), one.get("metric"))
    return metrics


def _choice_checks(file: YamlFile, data: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    metrics = [one["metric"] for one in _metrics(file, data, ("acc", "acc_norm"))]
    for place, name in enumerate(metrics):
        if name not in CHOICE_METRICS:
            raise refused(file, ("metric_list", place), f"there is no check of choices for the metric {name!r}")
    left = f"the suite judges by {metrics[0]}, the first metric, and not by {', '.join(metrics[1:])}"
    return [CHOICE_METRICS[metrics[0]]], [left] if metrics[1:] else []


def _exact(file: YamlFile, data: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    metrics = _metrics(file, data, ("exact_match",))
    for place, one in enumerate(metrics):
        if one["metric"] != "exact_match":
            raise refused(file, ("metric_list", place), f"there is no equal check for the metric {one['metric']!r}")
        known = ("metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation")
        if more := [key for key in one if key not in known]:
            raise refused(file, ("metric_list", place, more[0]), "this option of exact_match cannot be imported")
    loose = any(one.get("ignore_case") or one.get("ignore_punctuation") for one in metrics)
    note = "exact compares without case, and without spaces and punctuation around an answer; exact_match may differ"
    return ["exact" if loose else {"exact": {"normalize": False}}], [RAW, *([note] if loose else [])]


def _refuse_cut_targets(file: YamlFile, patterns: Sequence[str], rows: Sequence[Row]) -> None:
    """Refuse a filter that would also cut an expected answer, because a suite applies `answer` to both."""
    for pattern in patterns:
        cut = [text for row in rows for text in row["references"] if (m := re.search(pattern, text)) and m[1] != text]
        if cut:
            raise refused(
                file,
                ("filter_list",),
                f"a suite applies the filter to the expected answers too, and it would cut {len(cut)} of them, first "
                f"{cut[0][:40]!r}",
            )


def _patterns(file: YamlFile, data: Mapping[str, Any], wanted: str | None) -> list[str]:
    """The regular expressions of the chosen filter: none or one."""
    listed = as_list(file, ("filter_list",), data.get("filter_list"))
    filters = [as_mapping(file, ("filter_list", place), one) for place, one in enumerate(listed)]
    chosen = pick("filter", wanted, [str(one.get("name")) for one in filters], file.path)
    patterns: list[str] = []
    for place, one in enumerate(filters):
        if str(one.get("name")) != chosen:
            continue
        for at, given in enumerate(as_list(file, ("filter_list", place, "filter"), one.get("filter"))):
            keys = ("filter_list", place, "filter", at)
            step = as_mapping(file, keys, given)
            if step.get("function") == "regex":
                patterns.append(_pattern(file, keys, step))
            elif step.get("function") not in HARMLESS:
                raise refused(file, keys, f"the filter {step.get('function')!r} cannot be imported")
    if len(patterns) > 1:
        raise refused(file, ("filter_list",), "only one regular expression in a filter can be imported")
    return patterns


def _pattern(file: YamlFile, keys: tuple[str | int, ...], step: Mapping[str, Any]) -> str:
    pattern, select = step.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"), step.get("group_select", 0)
    if more := [key for key in step if key not in ("function", "regex_pattern", "group_select", "fallback")]:
        raise refused(file, (*keys, more[0]), "this option of a filter cannot be imported")
    if select not in (0, -1):
        raise refused(file, (*keys, "group_select"), "only 0 (the first match) and -1 (the last) can be imported")
    try:
        groups = re.compile(pattern).groups
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise refused(file, (*keys, "regex_pattern"), f"this is not a regular expression: {error}") from error
    if groups != 1:
        raise refused(file, (*keys, "regex_pattern"), f"one group was expected, got {groups}")
    return pattern if select == -1 else FIRST + pattern


def _generate(file: YamlFile, data: Mapping[str, Any]) -> dict[str, Any]:
    options = as_mapping(file, ("generation_kwargs",), data.get("generation_kwargs"))
    if more := [key for key in options if key not in GENERATION]:
        raise refused(file, ("generation_kwargs", more[0]), "this option cannot be imported")
    until = options.get("until", ["\n\n"])
    if not isinstance(until, str):
        until = [
            as_text(file, ("generation_kwargs", "until"), one) for one in as_list(file, ("generation_kwargs",), until)
        ]
    made: dict[str, Any] = {"form": "raw", "stop": [until] if isinstance(until, str) else until}
    if "max_gen_toks" in options:
        made["max_new_tokens"] = options["max_gen_toks"]
    if options.get("do_sample") and options.get("temperature"):
        made["temperature"] = options["temperature"]
    return made
