"""What may go wrong in a simulation."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Kinds of misfortune. Which of them a simulation knows is part of its plan; when each strikes comes from the seed."""

    CRASH = "crash"
    """A process is gone between two calls of a port: before the call was made, or after it was, its answer unread."""
    CRASH_IN_STEP = "crash_in_step"
    """A process is gone in the middle of a step's body."""
    UNAVAILABLE = "unavailable"
    """A call fails, and nothing was done."""
    LOST_ANSWER = "lost_answer"
    """A call fails, and all or a part of it was done: the unknown commit."""
    OUTAGE = "outage"
    """For a while a port answers nobody, or not this process."""
    STALL = "stall"
    """A process stands still, in the middle of whatever it does, until its heartbeat and its leases are long over."""
    CLOCK_JUMP = "clock_jump"
    """The time of day of one machine jumps, by up to an hour and in either direction."""
    CLOCK_DRIFT = "clock_drift"
    """One machine measures durations up to a tenth too long or too short."""
    LOST_EVENT = "lost_event"
    """The broker confirms an event and forgets it."""
    DOUBLED_EVENT = "doubled_event"
    DELAYED_EVENT = "delayed_event"
    """An event arrives up to two minutes late."""
    SHUFFLED_EVENTS = "shuffled_events"
    OLD_EVENT = "old_event"
    """An event that was delivered long ago comes once more."""
    UNCONFIRMED_EVENT = "unconfirmed_event"
    """The broker has the event and does not confirm it."""
    MISSED_WAKE = "missed_wake"
    """Nobody is told that rows wait."""
    RESTART = "restart"
    """A process drains, leaves and is started anew, as in a deployment."""
    ROLES_FORGOTTEN = "roles_forgotten"
    """The role scheduler comes back empty."""
    ROLES_FOR_ALL = "roles_for_all"
    """The role scheduler grants every role to everybody: nothing's safety may depend on it."""


ROLES_LIE = frozenset({Fault.ROLES_FORGOTTEN, Fault.ROLES_FOR_ALL})
"""With one of these a role may have two holders, and nothing about roles can be asked."""
EVENT_FAULTS = frozenset(
    {
        Fault.LOST_EVENT,
        Fault.DOUBLED_EVENT,
        Fault.DELAYED_EVENT,
        Fault.SHUFFLED_EVENTS,
        Fault.OLD_EVENT,
        Fault.UNCONFIRMED_EVENT,
    }
)
"""These need a streamer."""
