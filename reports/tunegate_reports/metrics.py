"""The counts of a gate in the OpenMetrics text format, which GitLab compares between two branches."""

from __future__ import annotations

from collections.abc import Iterator

from tunegate.record.record import RunRecord
from tunegate_reports.view import view


def metrics_lines(run: RunRecord) -> Iterator[str]:
    """One line for each number of each deciding draw."""
    for gate in view(run).deciding_gates:
        record = gate.record
        numbers: dict[str, float] = {"passed": record.passed, "drawn": record.drawn, "accept": record.accept}
        if record.decided:
            low, high = record.interval
            numbers |= {"rate_low": round(low, 6), "rate_high": round(high, 6), "exit_code": record.verdict.exit_code}
        for name, value in numbers.items():
            yield f'tunegate_{name}{{gate="{_label(record.key)}"}} {value:g}'


def _label(text: str) -> str:
    """The value of a label, on one line."""
    return " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
