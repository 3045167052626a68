"""What the ingest process does by the clock, and how often."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. What must happen sooner than a batch or the cursor is stored costs a transaction each time."""

    tick: float = 0.1
    """From one look at what is due to the next."""
    batch: float = 0.2
    """How long an event that matters may wait to be stored."""
    cursor: float = 1.0
    """How long the cursor may lag behind when nothing mattered."""
    rules: float = 1.0
    """From one look at the rules file to the next."""
    report: float = 2.0
    """From one report of the process to the next."""
    chores: float = 0.03
    """How much of a tick housekeeping may take."""
    round: float = 86_400.0
    """From one look through all accounts to the next."""
    stand_still: float = 2.0
    """From one look to the next for an operator's change of the cursor."""
    lists: float = 2.0
    """From one look to the next for lists that are due to be read."""
    resync: float = 0.5
    """From one look to the next for repositories that are due to be read."""
    evidence: float = 1.0
    """From one look to the next for what was reported and is not here."""
    sweep: float = 1.0
    """From one account whose host is asked to the next."""
    sweep_after: float = 60.0
    """From the start to the first look round all authors."""
    patience: float = 1.0
    """By what the waits between tries are multiplied."""
    gap: float = 60.0
    """How much later than it was left a stream may go on with numbers left out, before events count as missed."""
    silence: float = 60.0
    """How long a stream that was busy may bring no event before the connection is made anew."""
    preferred: float = 600.0
    """From one look to the next whether a source works again that is preferred to the one that is read."""
