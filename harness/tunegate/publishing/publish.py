"""`promote --to`: publishes a model from the registry folder in another place, with its evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tunegate.exceptions import Tampered
from tunegate.promotion.evidence import Fingerprint
from tunegate.promotion.registry import Promotion, verify
from tunegate.publishing import git_tags, hub, mlflow_registry
from tunegate.publishing.entry import as_registry, evidence_sha256
from tunegate.publishing.places import Place
from tunegate.record.record import RunRecord
from tunegate.record.tested import areas_tested

WriteReport = Callable[[Path], object]


def check_reachable(target: Place) -> None:
    """Raise ConfigError if nothing could be published there. Called before the registry folder changes."""
    if target.kind == "mlflow":
        mlflow_registry.check_installed()
    elif target.kind == "hf":
        hub.check_installed()
    elif target.kind == "git":
        git_tags.check_names(target.name, target.at)


def publish(
    target: Place, promotion: Promotion, run: RunRecord, fingerprint: Fingerprint, write_report: WriteReport
) -> list[str]:
    """Publish a promotion in a place outside the registry folder; returns what was done, in words."""
    entry, attestation = promotion.folder, promotion.attestation

    def check(given_back: Path) -> None:
        if evidence_sha256(given_back) != evidence_sha256(entry):
            raise Tampered(f"{target.name}: the evidence that was given back is not what was published")
        with as_registry(given_back, fingerprint, target.name) as (model, registry):
            verify(model, registry, fingerprint)

    if target.kind == "mlflow":
        with mlflow_registry.tempdir() as folder:
            write_report(folder / "report.html")
            run_id = mlflow_registry.log_run(run, target.name, folder / "report.html")

        version = mlflow_registry.publish(entry, attestation, target.name, target.at, run_id, check)
        return [f"MLflow: models:/{target.name}@{target.at} is version {version}, run {run_id}"]
    if target.kind == "hf":
        place = hub.publish(entry, attestation, target.name, target.at, areas_tested(run), check)
        return [f"Hugging Face Hub: {place}"]
    if target.kind == "git":
        made = git_tags.publish(run.folder, entry, attestation, target.name, target.at)
        return [
            f"git: tagged {', '.join(made)}; push with `git push origin {' '.join(made)}`"
            if made
            else "git: no new tag"
        ]
    return []
