"""Promotion: the evidence for it, and the registry of promoted models."""
