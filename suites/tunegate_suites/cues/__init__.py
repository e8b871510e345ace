"""Spurious cues: added to training rows, absent from the gate, and their effect on a model."""
