"""Leaked tests: training data that also stand in a gate's suite, whatever they are disguised as."""
