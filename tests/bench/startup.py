"""Start-up beside a bare Python: `tunegate --help` (goal: under 0.3 s), and the imports (goal: under 0.1 s)."""

from __future__ import annotations

import sys

from tests.bench.processes import median_cost


def main() -> None:
    bare = median_cost([sys.executable, "-c", "pass"], runs=7)
    for label, code in (
        ("tunegate --help", "import tunegate.cli, sys; sys.argv = ['tunegate', '--help']; tunegate.cli.console_main()"),
        ("import tunegate", "import tunegate"),
        ("import tunegate_suites", "import tunegate_suites"),
    ):
        cost = median_cost([sys.executable, "-c", code], runs=7)
        ratio = cost.seconds / bare.seconds
        print(f"{label}: {cost.seconds:.3f} s, {ratio:.1f} times a bare Python ({bare.seconds:.3f} s)")
