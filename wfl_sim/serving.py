"""Whom a server serves next, if it can serve one at a time and each has a way to go afterwards.

Knows numbers; neither a clock nor what is served. Job u arrives at r_u, takes the server p_u, and is over q_u after it
was served: 1 | r_u, q_u | C_max of scheduling theory, in which the last end max_u (C_u + q_u) is to be early.

An order either follows who has arrived (`schrage`, `fifo`, `random`: the server is never idle while anybody waits), or
is planned beforehand from the times that are expected (`ltf`, `exact`: the server waits for the next of its list).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

OrderKind = Literal["schrage", "ltf", "fifo", "random", "exact"]
ORDERS: tuple[OrderKind, ...] = get_args(OrderKind)
MOST_EXACT = 8  # jobs whose best order is looked for: 40,320 orders


class Job(NamedTuple):
    """When it arrives, how long the server takes for it, and how long it then takes to be over; in seconds."""

    release_s: float
    service_s: float
    tail_s: float


class Order:
    """Tells whom to serve, for jobs by name (a client's number).

    Parameters
    ----------
    kind : OrderKind
    jobs : mapping of int to Job
        What is expected. Of their times, ``schrage`` reads the tails, ``ltf`` too, and ``exact`` all.
    lots : mapping of int to float
        What ``random`` goes by: the smallest first.
    """

    def __init__(self, kind: OrderKind, jobs: Mapping[int, Job], lots: Mapping[int, float] | None = None) -> None:
        self._list: tuple[int, ...] = ()
        if kind == "ltf":
            self._list = tuple(sorted(jobs, key=lambda name: (-jobs[name].tail_s, name)))
        elif kind == "exact":
            self._list = best_order(jobs)
        self._kind, self._jobs, self._lots = kind, jobs, lots or {}

    def next(self, arrived: Mapping[int, float], awaited: Collection[int]) -> int | None:
        """Whom to serve now of those who have `arrived`, by their times of arrival; None: wait for an `awaited` one.

        Ties go to the smallest name.
        """
        if not arrived:
            return None
        if self._list:
            first = next(name for name in self._list if name in arrived or name in awaited)
            return first if first in arrived else None
        if self._kind == "fifo":
            return min(arrived, key=lambda name: (arrived[name], name))
        if self._kind == "random":
            return min(arrived, key=lambda name: (self._lots[name], name))
        return min(arrived, key=lambda name: (-self._jobs[name].tail_s, name))


def completions(kind: OrderKind, jobs: Mapping[int, Job], lots: Mapping[int, float] | None = None) -> dict[int, float]:
    """When the server is through with each job, C_u, if all is as expected; in the order of service."""
    order, now_s, found = Order(kind, jobs, lots), -math.inf, dict[int, float]()
    left = dict(jobs)
    while left:
        arrived = {name: job.release_s for name, job in left.items() if job.release_s <= now_s}
        chosen = order.next(arrived, [name for name in left if name not in arrived])
        if chosen is None:  # wait for the next to arrive
            now_s = min(job.release_s for job in left.values() if job.release_s > now_s)
            continue
        now_s += left.pop(chosen).service_s
        found[chosen] = now_s
    return found


def last_end_s(jobs: Mapping[int, Job], completed: Mapping[int, float]) -> float:
    """max_u (C_u + q_u)."""
    return max(completed[name] + job.tail_s for name, job in jobs.items())


def best_order(jobs: Mapping[int, Job]) -> tuple[int, ...]:
    """The order in which the last end is the earliest: of equally good ones, the first that is found from schrage's on.

    A tree of beginnings of orders; one is given up where what is left cannot end before the best order known.

    Raises
    ------
    ValueError
        There are more than `MOST_EXACT` jobs.
    """
    if len(jobs) > MOST_EXACT:
        raise ValueError(f"the best order is looked for among {MOST_EXACT} jobs at most; got {len(jobs)}")
    best = tuple(completions("schrage", jobs))
    best_s = last_end_s(jobs, completions("schrage", jobs)) if jobs else 0.0

    def grow(begun: tuple[int, ...], now_s: float, so_far_s: float, left: Sequence[int]) -> None:
        nonlocal best, best_s
        if not left:
            best, best_s = begun, so_far_s
            return
        for name in left:
            job, rest = jobs[name], [other for other in left if other != name]
            end_s = max(now_s, job.release_s) + job.service_s
            reached_s = max(so_far_s, end_s + job.tail_s)
            if max(reached_s, _least_s(end_s, [jobs[other] for other in rest])) < best_s:
                grow((*begun, name), end_s, reached_s, rest)

    grow((), -math.inf, -math.inf, sorted(jobs))
    return best


def _least_s(now_s: float, left: Sequence[Job]) -> float:
    """No order of what is left ends earlier: each takes its own time, and one of them is the last to be served."""
    if not left:
        return now_s
    begin_s = max(now_s, min(job.release_s for job in left))
    all_s = begin_s + sum(job.service_s for job in left) + min(job.tail_s for job in left)
    return max(all_s, max(max(now_s, job.release_s) + job.service_s + job.tail_s for job in left))
