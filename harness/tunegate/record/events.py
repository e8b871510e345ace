"""Every kind of event that a record can have, and the event of a line.

The classes are in `run_events.py`, `stage_events.py` and `gate_events.py`; what they share is in `event.py`. An event
of a kind that this version does not know is `Unknown`: the chain of hashes covers it, and it is otherwise ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from tunegate.exceptions import Tampered
from tunegate.record.event import Event, Json, Unknown
from tunegate.record.gate_events import (
    Answered,
    Asking,
    GateContinued,
    GateDecided,
    GateStarted,
    LimitsMeasured,
    OutcomeJudged,
    OutcomesJudged,
    Waived,
)
from tunegate.record.run_events import FaultMet, LeaksDropped, LeaksFound, Promoted, RunDecided, RunStarted
from tunegate.record.stage_events import (
    AttemptStarted,
    CasesExplained,
    Diagnosed,
    OwnAnswersJudged,
    RowsWritten,
    StageDecided,
    StageStarted,
    Trained,
    TrainingFailed,
)
from tunegate.record.typed_json import Misfit, read_as

KINDS: tuple[type[Event], ...] = (
    *(RunStarted, LeaksFound, LeaksDropped, RunDecided, Promoted, FaultMet),
    *(StageStarted, StageDecided, AttemptStarted, RowsWritten, OwnAnswersJudged, Trained, TrainingFailed, Diagnosed),
    *(CasesExplained, GateStarted, GateContinued, LimitsMeasured, Asking, Answered, OutcomeJudged, OutcomesJudged),
    *(GateDecided, Waived),
)
_BY_NAME: Mapping[str, type[Event]] = {kind.KIND: kind for kind in KINDS}


def event_from_json(data: Json, where: str) -> Event:
    """The event of a line; raises Tampered with place, kind and field when a value has the wrong type."""
    kind = _BY_NAME.get(data["event"])
    if kind is None:
        return Unknown()
    try:
        for one in fields(kind):
            if one.metadata and one.name in data and data[one.name] is None:
                raise Misfit(one.name, "a value or no such key", None)
        return read_as(kind, data)
    except Misfit as misfit:
        raise Tampered(f"{where}: event {kind.KIND} is not valid: {misfit}") from misfit
