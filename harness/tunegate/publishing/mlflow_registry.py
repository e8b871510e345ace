"""MLflow: a promoted model with its evidence as a model version, and gates as metrics of a run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.hashes import sha256_of
from tunegate.optional import optional_import
from tunegate.promotion.entry import ATTESTATION
from tunegate.publishing.entry import evidence_sha256
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import GateRecord, RunRecord

VARIABLE = "MLFLOW_TRACKING_URI"
FOLDER = "tunegate"
"""The folder of a registry entry among the artifacts of an MLflow run."""
Check = Callable[[Path], object]


def log_run(run: RunRecord, experiment: str, report: Path) -> str:
    """Log a run of Tunegate as a run of MLflow: its gates as metrics, its report as an artifact. Returns its id."""
    client = _client()
    with _faults(f"experiment {experiment}"):
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment)
        tags = {"tunegate.verdict": str(run.verdict or ""), "tunegate.record_sha256": run.digest}
        made = client.create_run(experiment_id, run_name=run.name or run.folder.name, tags=tags)
        for gate in run.all_gates():
            for name, value in metrics_of(gate).items():
                client.log_metric(made.info.run_id, name, value, step=gate.attempt or 0)
        client.log_artifact(made.info.run_id, str(report))
        client.set_terminated(made.info.run_id)
        return str(made.info.run_id)


def metrics_of(gate: GateRecord) -> dict[str, float]:
    """The counts of a gate, by metric names that MLflow allows."""
    head = re.sub(r"[^\w./ -]", "_", ".".join(part for part in (gate.stage, gate.key) if part))
    numbers: dict[str, float] = {"passed": gate.passed, "drawn": gate.drawn, "accept": gate.accept}
    if gate.decided:
        low, high = gate.interval
        numbers |= {"rate_low": low, "rate_high": high, "exit_code": gate.verdict.exit_code}
    return {f"{head}.{name}": float(value) for name, value in numbers.items()}


def publish(entry: Path, attestation: Mapping[str, Any], name: str, alias: str, run_id: str, check: Check) -> str:
    """Upload a registry entry as a version of a registered model, and move the alias to it. Returns the version.

    The alias moves last, and only after `check` accepted what the server gives back. A version that has these bytes and
    this evidence already is used again; one that was published before it was signed is not.
    """
    client = _client()
    tags = tags_of(entry, attestation)
    with _faults(f"registered model {name}"):
        version = _version_with(client, name, tags)
        if version is None:
            client.log_artifacts(run_id, str(entry), FOLDER)
            source = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name)
            version = str(client.create_model_version(name, source, run_id, tags=tags).version)
    with tempdir() as folder:
        check(download(name, f"/{version}", folder)[0])
    with _faults(f"registered model {name}"):
        client.set_registered_model_alias(name, alias, version)
    return version


def tags_of(entry: Path, attestation: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a version: verdict, fingerprint, attestation, all evidence. A waived gate is named."""
    waived = [str(waiver["gate"]) for waiver in attestation.get("waivers", ())]
    return {
        "tunegate.verdict": "PASS",
        "tunegate.waived": ", ".join(waived),
        "tunegate.model_sha256": str(attestation["model_sha256"]),
        "tunegate.attestation_sha256": sha256_of(entry / ATTESTATION),
        "tunegate.record_sha256": str(attestation["record_sha256"]),
        "tunegate.evidence_sha256": evidence_sha256(entry),
    }


def _version_with(client: Any, name: str, tags: Mapping[str, str]) -> str | None:
    """The version that has these tags and was not deleted."""
    for version in client.search_model_versions(f"name = '{name}'"):
        if all(version.tags.get(key) == value for key, value in tags.items()):
            return str(version.version)
    return None


def download(name: str, at: str, folder: Path) -> tuple[Path, str]:
    """Download the entry of a version, `@ALIAS` or `/NUMBER`, into a folder; returns its folder and the version."""
    client = _client()
    artifacts = optional_import("mlflow.artifacts", "mlflow", "MLflow")
    with _faults(f"models:/{name}{at}"):
        found = (
            client.get_model_version_by_alias(name, at[1:]) if at[0] == "@" else client.get_model_version(name, at[1:])
        )
        place = Path(artifacts.download_artifacts(artifact_uri=found.source, dst_path=str(folder)))
    if not (place / ATTESTATION).is_file():
        raise NotPromotable(
            f"models:/{name}{at}: version {found.version} has no evidence of a promotion; name one that "
            "`tunegate promote` published"
        )
    return place, str(found.version)


def check_installed() -> None:
    """Raise ConfigError if the extra or the server's address is missing."""
    _client()


def _client() -> Any:
    """A client of the server or database that the environment names. MLflow's telemetry is off."""
    if not os.environ.get(VARIABLE):
        raise ConfigError(f"MLflow: set the environment variable {VARIABLE}, for example to http://127.0.0.1:5000")
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's own 7 wait for minutes
    for module in ("sqlalchemy", "alembic"):
        optional_import(module, "mlflow", "MLflow")
    return optional_import("mlflow", "mlflow", "MLflow").MlflowClient()


@contextmanager
def _faults(what: str) -> Generator[None]:
    """Raise an error of MLflow or of the network as CannotJudge."""
    exceptions = optional_import("mlflow.exceptions", "mlflow", "MLflow")
    try:
        yield
    except (exceptions.MlflowException, OSError) as error:
        raise CannotJudge(f"MLflow, {what}: {' '.join(str(error).split())[:300]}") from error


@contextmanager
def tempdir() -> Generator[Path]:
    """A folder that is removed at the end."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="tunegate-") as folder:
        yield Path(folder).resolve()
