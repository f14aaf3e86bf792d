"""Acting at an exact simulated time, in a place among the events of that time that was taken before.

Knows SimPy's queue of events; neither bands nor transfers. SimPy itself only counts from now on, and in the order in
which it is told, so that the same event, told later, could come a rounding later, or behind another one.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from itertools import islice
from typing import cast

import simpy
from simpy.events import EventPriority

_NORMAL = simpy.events.NORMAL
LAST = cast(EventPriority, 2)  # priority of an event that comes behind all others of its instant


def act_at(env: simpy.Environment, time_s: float, act: Callable[[], None], priority: EventPriority = _NORMAL) -> None:
    """Act at a time, behind what was scheduled for the same instant before, or behind all of it (`LAST`)."""
    event = simpy.Event(env)
    event._ok, event._value = True, None
    event.callbacks.append(lambda _: act())
    env.schedule(event, priority=priority, delay=max(0.0, time_s - env.now))


def places(env: simpy.Environment, count: int) -> list[int]:
    """The next `count` places in the order of events; each is used once, in `succeed_at`."""
    return list(islice(env._eid, count))


def succeed_at(event: simpy.Event, value: object, time_s: float, place: int) -> None:
    """Let an event succeed at a time, not before now, as if it had been scheduled when its place was taken."""
    env = event.env
    event._ok, event._value = True, value
    heappush(env._queue, (max(time_s, env.now), _NORMAL, place, event))
