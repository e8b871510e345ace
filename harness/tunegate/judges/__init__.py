"""Judges held against people: how far one agrees (`agreement`), and whether it may decide (`admission`)."""
