"""A day on which the waivers of tests expire: soon, because a waiver is at most 90 days long, and never past."""

from __future__ import annotations

from datetime import date, timedelta

LAST_DAY = date.today() + timedelta(days=40)
EXPIRES = LAST_DAY.isoformat()
