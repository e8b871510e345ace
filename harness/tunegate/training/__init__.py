"""Carries out a run: train, gate, diagnose and retrain each stage until it passes or its budget is used up."""
