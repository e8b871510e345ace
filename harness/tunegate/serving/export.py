"""Writes a model in another format, and gates what was written against its source.

    OUT/model.gguf, or OUT/model/    the export
    OUT/gates/SUITE/                 the record of the comparison on each suite: source and export, case by case
    OUT/export.json                  which source, which bytes, which comparisons (`promotion/exports.py` reads it)

`export.json` is written last: without it, a folder is not an export. Adapters are merged first.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate import __version__
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError, TunegateError
from tunegate.gates.book import NoLedger
from tunegate.gates.candidate import ComparisonRequest, ComparisonResult, Side, compare_with_baseline
from tunegate.hashes import sha256_of
from tunegate.ledger.ledger import Ledger
from tunegate.models import loading
from tunegate.models.fewshot import FILE as FEWSHOT
from tunegate.models.gguf_export import write_gguf
from tunegate.models.hf import HFModel
from tunegate.models.model import Model
from tunegate.models.open_model import LocalModel
from tunegate.progress import Progress
from tunegate.promotion.aliases import EXPORT
from tunegate.promotion.exports import FORMAT, GATES, cannot_fail
from tunegate.suites.suite import Suite
from tunegate.whole_files import write_whole

DTYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
NO_ONNX = (
    "--to onnx: the exporter optimum-onnx (0.1.0, its newest release) needs transformers below 4.58, and Tunegate "
    "needs 5 or newer; export to safetensors, and convert that in an environment of its own (docs/serving.md)"
)


@dataclass(frozen=True, slots=True)
class Source:
    """The model to export: its name for the record, and its files."""

    name: str
    model: LocalModel


@dataclass(frozen=True)
class ExportRequest:
    """What to write, where, and on which suites to compare. `file_type` None: that of the format."""

    source: Source
    form: str
    file_type: str | None
    out: Path
    suites: Sequence[Suite]
    draw: int | None
    seed: int
    max_drop: float
    ledger_of: Callable[[Suite], Ledger | NoLedger]


@dataclass(frozen=True)
class Export:
    """A written export with its comparisons, by suite."""

    folder: Path
    model: Path
    sha256: str
    results: Mapping[str, ComparisonResult]

    @property
    def verdict(self) -> Verdict:
        """The worst of the comparisons; INCONCLUSIVE where the source passed too little to lose."""
        found = [
            Verdict.INCONCLUSIVE
            if result.candidate.verdict is Verdict.PASS and cannot_fail(result.candidate, result.baseline)
            else result.candidate.verdict
            for result in self.results.values()
        ]
        return next(one for one in (Verdict.INVALID, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS) if one in found)


def export(
    request: ExportRequest,
    open_model: Callable[[str], Model],
    fingerprint: Callable[[Path], str],
    progress: Progress,
    versions: Mapping[str, str],
) -> Export:
    """Write the model, compare it with its source on each suite, and write the record.

    Raises ConfigError for a folder that is not empty or a model that the format cannot hold, CannotJudge if the disk
    cannot be written, and the errors of the comparison, such as Inconclusive for too few fresh cases.
    """
    check_request(request)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
        model = write_model(request.source, request.form, request.file_type, request.out)
        sha256 = fingerprint(model)
        results = {suite.name: _compared(request, suite, model, sha256, open_model, progress, versions)
                   for suite in request.suites}  # fmt: skip
        done = Export(request.out, model, sha256, results)
        write_whole(request.out / EXPORT, json.dumps(_record(request, done), indent=2))
    except OSError as error:
        raise CannotJudge(f"{error.filename or request.out}: cannot write the export: {error.strerror}") from error
    except TunegateError:
        _empty(request.out)  # so that the same command works again, for example with more cases
        raise
    return done


def _empty(folder: Path) -> None:
    """Remove what an export wrote before it failed."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def check_request(request: ExportRequest) -> None:
    """Raise ConfigError for what cannot be exported, before anything is written."""
    if request.form == "onnx":
        raise ConfigError(NO_ONNX)
    if request.form == "safetensors" and request.file_type not in (None, *DTYPES):
        raise ConfigError(f"--type: safetensors hold {', '.join(DTYPES)}, got {request.file_type}; quantise to gguf")
    if not request.suites:
        raise ConfigError("--gate: expected a suite, since an export is compared with its source; give --gate SUITE")
    folders = (request.source.model.folder, *request.source.model.adapters)
    if shots := [folder for folder in folders if (folder / FEWSHOT).exists()]:
        raise ConfigError(f"{shots[0]}: its examples are in {FEWSHOT}, not in weights; export its base model")
    if (request.out / GATES).is_dir() and not (request.out / EXPORT).exists():
        raise ConfigError(f"--out: {request.out} has the files of an export that was interrupted; remove it")
    if request.out.exists() and (not request.out.is_dir() or any(request.out.iterdir())):
        raise ConfigError(f"--out: expected a new or empty folder, but {request.out} has files; choose another")


# --- the files -----------------------------------------------------------------------------------------------------


def write_model(source: Source, form: str, file_type: str | None, out: Path) -> Path:
    """Write the model into `out`; returns the file or folder that `open_model` takes."""
    found = source.model
    if form == "safetensors":
        _write_merged(found, out / "model", DTYPES.get(file_type or ""))
        return out / "model"
    path = out / "model.gguf"
    if not found.adapters:
        write_gguf(found.folder, path, file_type or "f16")
        return path
    with tempfile.TemporaryDirectory(prefix=".merged-", dir=out) as scratch:
        _write_merged(found, Path(scratch) / "model", "float32")
        write_gguf(Path(scratch) / "model", path, file_type or "f16")
    return path


def _write_merged(found: LocalModel, folder: Path, dtype: str | None) -> None:
    """Write a model with its adapters in its weights, in the number type of its files unless another is given."""
    torch = loading.hf_import("torch")
    opened = HFModel.load(found.folder, adapters=found.adapters, device="cpu", dtype="float32")
    if not hasattr(opened.model, "save_pretrained"):
        raise ConfigError(f"{found.adapters[-1]}: an adapter that is a learned prefix of every prompt cannot be merged")
    config = loading.read_config(found.folder / "config.json")
    name = dtype or config.get("dtype") or config.get("torch_dtype") or "float32"
    with loading.quiet_transformers():
        opened.model.to(getattr(torch, name)).save_pretrained(folder)
        opened.tokenizer.save_pretrained(folder)


# --- the comparisons -----------------------------------------------------------------------------------------------


def _compared(
    request: ExportRequest,
    suite: Suite,
    model: Path,
    sha256: str,
    open_model: Callable[[str], Model],
    progress: Progress,
    versions: Mapping[str, str],
) -> ComparisonResult:
    """The export against its source on one suite. `critical`: a pass must be shown by the cases."""
    name = request.source.name
    source = Side(name, request.source.model.sha256, lambda: open_model(name))
    written = Side(str(model), sha256, lambda: open_model(str(model)))
    comparison = ComparisonRequest(
        suite,
        request.draw or suite.plan.draw,
        request.seed,
        baseline=source,
        candidate=written,
        max_drop=request.max_drop,
        tier="critical",
        folder=str(request.out / GATES / suite.name),
        ledger=request.ledger_of(suite),
    )
    return compare_with_baseline(comparison, progress, versions)


def _record(request: ExportRequest, done: Export) -> dict[str, Any]:
    files = [done.model] if done.model.is_file() else sorted(path for path in done.model.rglob("*") if path.is_file())
    return {
        "format": FORMAT,
        "tunegate": __version__,
        "source": {"name": request.source.name, "sha256": request.source.model.sha256},
        "to": request.form,
        "type": request.file_type,
        "model": done.model.name,
        "sha256": done.sha256,
        "files": {path.relative_to(done.folder).as_posix(): sha256_of(path) for path in files},
        "verdict": done.verdict,
        "gates": {
            name: {
                "suite_sha256": result.candidate.suite_sha256,
                "record_sha256": result.run.digest,
                "verdict": result.candidate.verdict,
                "draw": result.candidate.drawn,
                "max_drop": request.max_drop,
            }
            for name, result in done.results.items()
        },
    }
