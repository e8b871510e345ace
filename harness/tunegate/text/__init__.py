"""Texts as they are compared and counted: words of every script."""
