"""Reads users' files into checked values."""
