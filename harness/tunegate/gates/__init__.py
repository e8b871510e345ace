"""A gate being carried out: draw, ask, judge, decide."""
