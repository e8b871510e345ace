"""Explains missed cases of an attempt while its model is loaded. Nothing here can change a verdict."""

from __future__ import annotations

from pathlib import Path

from tunegate.attribution.explained_file import write_explained
from tunegate.attribution.explanation import Explanation
from tunegate.attribution.stored_case import stored_cases
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered, message_of
from tunegate.models.loading import one_line
from tunegate.pipeline.pipeline import Pipeline
from tunegate.record.run_log import RunLog
from tunegate.record.stage_events import CasesExplained
from tunegate.training.tools import ModelUnderTest, Tools


def inspect_misses(
    pipeline: Pipeline, stage: str, number: int, log: RunLog, model: ModelUnderTest, tools: Tools
) -> None:
    """Explain the first missed cases of an attempt, those first that the base model answered right, and record that.
    Cases without a prompt are left out: a strip over the prompt would be empty.

    A case that cannot be explained is noted with its reason; so is a model that cannot be opened, or a full disk.
    Raises Tampered for weights that changed, as the gates do.
    """
    spec, run = pipeline.inspect, log.record
    if spec is None or any((one.stage, one.attempt) == (stage, number) for one in run.explained):
        return
    attempt = run.stages[stage].attempts[number]
    misses = (one for one in stored_cases(run, attempt) if one.verdict is Verdict.FAIL)
    missed = [one for one in misses if one.answer and one.has_prompt][: spec.cases]
    if not missed:
        return
    found: list[Explanation] = []
    faults: dict[str, str] = {}
    for case in missed:
        try:
            found.append(tools.explain(model(), case, spec.methods, pipeline.seed, tools.progress))
        except Tampered:
            raise
        except Exception as error:  # whatever a library raises, the verdict is on record already
            faults[case.case.id] = one_line(error) if message_of(error) else type(error).__name__
    file = f"{Path(attempt.model).parent}/explanations-{number}.json"
    sha256 = ""
    try:
        sha256 = write_explained(found, log.folder / file)
    except (OSError, ValueError) as error:
        faults |= {one.case_id: f"could not be written: {one_line(error)}" for one in found}
        found = []
    log.append(
        CasesExplained(
            stage=stage,
            attempt=number,
            file=file,
            sha256=sha256,
            cases=tuple(one.case_id for one in found),
            faults=faults,
        )
    )
    failed = f", {len(faults)} could not be explained: {next(iter(faults.values()))}" if faults else ""
    tools.say(f"{stage}#{number}: explained {len(found)} missed case{'' if len(found) == 1 else 's'}{failed}")
