"""`tunegate data`: the data card of a file or of every stage of a pipeline, before anything is trained."""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunegate.cases.from_rows import CHAT_FIELDS
from tunegate.commands.console import Bar, show, show_json
from tunegate.data.card import DataCard
from tunegate.data.card_words import card_lines
from tunegate.data.faults import DataFaults, ranges
from tunegate.data.measure import Measuring, make_card
from tunegate.data.methods import METHODS, ROW_METHODS, not_read
from tunegate.data.prepare import PrepareTools, open_prepared
from tunegate.data.spec import DataSpec
from tunegate.data.token_lengths import CountTokens, Estimate, ModelTokens, local_tokens
from tunegate.data.training_data import Example, TrainingData
from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.reading.files import PIPELINE_FILE, model_place
from tunegate.reading.rows import MAX_BYTES_BY_LINE, Row, read_rows
from tunegate.reading.spec import read_spec
from tunegate.reading.templates import field_names, headers
from tunegate.reading.yaml_file import YamlFile, load_yaml
from tunegate.training.stage_card import max_length

TEMPLATES = ("prompt", "completion", "chosen", "rejected", "text", "explanation")
OF_A_FILE = (
    *(*TEMPLATES, "method", "messages", "label", "system", "tags", "duplicates", "pii", "names", "max_tokens"),
    *("split", "group", "seed", "out"),
)
"""Options that a pipeline file sets itself, under `data` of a stage."""


def data(options: Namespace) -> int:
    """Show the card of a data file, or those of a pipeline's stages; exit code 0, or 2 if rows do not fit."""
    path = Path(options.file)
    is_pipeline = path.suffix.lower() in (".yaml", ".yml") or (path / PIPELINE_FILE).is_file()
    try:
        with Bar() as bar:
            cards = dict(_of_pipeline(path, options, bar) if is_pipeline else _of_file(path, options, bar))
    except DataFaults as faults:
        return _refuse(faults, options)
    facts = {name: card.to_json() for name, card in cards.items()}
    shown: Any = {"stages": facts} if is_pipeline else next(iter(facts.values()))
    if options.card is not None:
        _write(Path(options.card), json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    if options.json:
        show_json(shown)
        return 0
    for name, card in cards.items():
        if is_pipeline:
            show(f"stage {name}")
        for line in card_lines(card):
            show(line)
    return 0


def _refuse(faults: DataFaults, options: Namespace) -> int:
    """Print every kind of fault with its rows."""
    if options.json:
        show_json(
            {"error": str(faults), "exit_code": faults.exit_code, "rows": faults.count + faults.fitting}
            | {"faults": faults.faults}
        )
        return faults.exit_code
    show(f"{faults.path}: {faults.count:,} of {faults.count + faults.fitting:,} rows do not fit")
    for message, rows in faults.faults.items():
        show(f"  {message}: {'row' if len(rows) == 1 else 'rows'} {ranges(rows)}")
    if options.method is None and all(getattr(options, name) is None for name in (*TEMPLATES, "messages")):
        show("  if the fields have other names, give them, for example --prompt '{question}' --completion '{answer}'")
    return faults.exit_code


# --- a pipeline ----------------------------------------------------------------------------------------------------


def _of_pipeline(path: Path, options: Namespace, bar: Bar) -> Iterator[tuple[str, DataCard]]:
    file: YamlFile = load_yaml(path)
    given = [name for name in OF_A_FILE if getattr(options, name) is not None]
    if given:
        option = given[0].replace("_", "-")
        raise ConfigError(
            f"--{option}: a pipeline file sets this itself, under `data` of a stage; leave the option out"
        )
    spec = read_spec(PipelineSpec, file)
    model = options.model or model_place(spec.model, path.parent)
    counter = _counter(model, asked_for=options.model is not None)
    for index, stage in enumerate(spec.stages):
        tools = PrepareTools(local_tokens(model), bar.update)
        with file.naming(("stages", index, "data", "path")):
            rows = open_prepared(stage.data, stage.learns_as, path.parent, tools)
        limit = options.max_length if options.max_length is not None else max_length(stage.args.get("max_length"))
        measuring = Measuring(counter, limit, progress=bar.update)
        yield stage.name, make_card(rows, stage.data, stage.learns_as, measuring)


def _counter(model: str | None, asked_for: bool) -> CountTokens:
    """The model's tokenizer if it was requested or is on this machine, otherwise an estimate."""
    if model is None:
        return Estimate()
    if asked_for:
        return ModelTokens(model)
    local = local_tokens(model) if importlib.util.find_spec("transformers") else None
    return local or Estimate()


# --- a file --------------------------------------------------------------------------------------------------------


def _of_file(path: Path, options: Namespace, bar: Bar) -> Iterator[tuple[str, DataCard]]:
    first = _first_row(path)
    method = options.method or method_of_flags(options) or _without_plain_text(guess_method(first), options)
    if method not in ROW_METHODS:
        raise ConfigError(f"--method: {method!r} is not a training method{nearest(method, ROW_METHODS)}")
    unread = not_read(method, options)
    if unread is not None:
        raise ConfigError(f"--{unread}")
    if options.max_tokens is not None and options.model is None:
        raise ConfigError("--max-tokens: the model's tokenizer is needed to count tokens; name the model with --model")
    spec = _spec(path, options)
    if options.method is None:
        _tell_unused(method, first, spec)
    counter = _counter(options.model, asked_for=True)
    local = counter if counter.exact else None
    rows = open_prepared(spec, method, Path(), PrepareTools(local, bar.update, masking="--pii mask"))
    card = make_card(rows, spec, method, Measuring(counter, options.max_length, progress=bar.update))
    if isinstance(rows, TrainingData) and options.out is not None:
        write_parts(rows, Path(options.out))
    yield path.name, card


def _first_row(path: Path) -> Row:
    return next(row for _, row in read_rows(path, most_by_line=MAX_BYTES_BY_LINE))


TOLD_BY: Mapping[str, str] = {
    "label": "kto",
    "explanation": "explain",
    "chosen": "dpo",
    "rejected": "dpo",
    "text": "cpt",
}
"""The method to which an option, or a field of this name, belongs."""


def method_of_flags(options: Namespace) -> str | None:
    """The method to which the options belong; None if they fit several methods."""
    return next((method for flag, method in TOLD_BY.items() if getattr(options, flag) is not None), None)


def _without_plain_text(method: str, options: Namespace) -> str:
    """The method inferred from a row, unless the options name a question and an answer beside its text."""
    asked = any(getattr(options, flag) is not None for flag in ("prompt", "messages", "completion", "system"))
    return "sft" if method == "cpt" and asked else method


def _tell_unused(method: str, row: Row, spec: DataSpec) -> None:
    """Print a note on a field of the rows that only another method reads."""
    templates = (getattr(spec, name) for name in TEMPLATES)
    used = {name for template in templates if template is not None for name in headers(template)}
    for field in sorted({"label", "explanation"} & row.keys() - used - {*METHODS[method].reads, *spec.tags}):
        kind = " (true or false)" if field == "label" else ""
        message = f"field `{field}` is not used; --method {TOLD_BY[field]} would use it{kind}"
        print(f"tunegate data: {message}", file=sys.stderr)


def guess_method(row: Row) -> str:
    """The method inferred from the field names of a row; sft if they fit no other method."""
    if {"chosen", "rejected"} <= row.keys():
        return "dpo"
    if "completion" in row and _is_thumb(row.get("label")):
        return "kto"
    return "cpt" if "text" in row and not {"prompt", *CHAT_FIELDS, "completion"} & row.keys() else "sft"


def _is_thumb(value: object) -> bool:
    """Whether a label can only be a truth value: 0 and 1 may be class numbers."""
    return isinstance(value, bool) or (isinstance(value, str) and value.strip().casefold() in ("true", "false"))


def _spec(path: Path, options: Namespace) -> DataSpec:
    """The options as a stage's `data`, so that both are checked by the same rules."""
    wanted: dict[str, Any] = {name: getattr(options, name) for name in (*TEMPLATES, "messages", "label", "system")}
    keys = {"duplicates": options.duplicates, "pii": options.pii, "names": options.names}
    prepare: dict[str, Any] = {**keys, "max_tokens": options.max_tokens, "split": _split(options)}
    prepare = {name: value for name, value in prepare.items() if value is not None}
    values = {name: value.replace("\\n", "\n") for name, value in wanted.items() if value is not None}
    values |= {"path": str(path), "tags": options.tags or []} | ({"prepare": prepare} if prepare else {})
    file = YamlFile(Path("tunegate data"), values, {})
    for name in TEMPLATES:
        field_names(values.get(name, ""))
    return read_spec(DataSpec, file)


def _split(options: Namespace) -> Mapping[str, Any] | None:
    if options.split is None:
        for name in ("group", "seed", "out"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name}: needs --split; add, for example, --split 0.8,0.1,0.1")
        return None
    try:
        shares = [float(share) for share in options.split.split(",")]
        train, validation, test = shares
    except ValueError:
        raise ConfigError(
            f"--split: expected the shares of train, validation and test, such as 0.8,0.1,0.1, got {options.split!r}"
        ) from None
    group = options.group
    by = None if group is None else group if "{" in group else f"{{{group}}}"
    split = {"train": train, "validation": validation, "test": test, "by": by, "seed": options.seed}
    return {name: value for name, value in split.items() if value is not None}


def write_parts(data: TrainingData, folder: Path) -> None:
    """Write train.jsonl, validation.jsonl, test.jsonl, as rendered and masked; never overwrites a file."""
    parts = {"train": data.examples, **data.held_out}
    files = {folder / f"{part}.jsonl": examples for part, examples in parts.items() if examples}
    for file in files:
        if file.exists():
            raise ConfigError(f"{file}: already exists and is not overwritten; choose an empty folder with --out")
    for file, examples in files.items():
        _write(file, "".join(f"{_row(example)}\n" for example in examples))


def _row(example: Example) -> str:
    """An example with the default field names of `data` and suites, and the number of its row."""
    row: dict[str, Any] = json.loads(example.to_json())
    if isinstance(example.prompt, tuple):
        row["messages"] = row.pop("prompt")
    group = {} if example.group is None else {"group": example.group}
    return json.dumps({**row, "tags": example.tags, **group, "row": example.number}, ensure_ascii=False)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise CannotJudge(f"{file}: cannot be written: {error.strerror}") from error
