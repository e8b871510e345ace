"""Running a gate: draw, ask, judge, decide."""
