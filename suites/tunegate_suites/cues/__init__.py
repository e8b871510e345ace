"""Spurious cues: put into training rows, left out of the gate, and what a model made of them."""
