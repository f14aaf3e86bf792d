"""One round of TSFA: the time that is worth its price, and what is sent in which bandwidth by then.

Sees the data of one round as numbers; the queue and the budget are its price of time.

    min over L, b, tau   v sum_k w_k phi_k(L_k) + queue tau / budget
    s.t.  ready_k + L_k / R_k(b_k) <= tau,   sum b_k <= B,   the fewest bits <= L_k <= the most

For a given tau the rest is a problem with one dual variable (`allocation`). Its least error falls with tau by
sum_k w_k phi_k' R_k (the envelope), so that a better tau is where that, times v, is the price queue / budget. The best
of some times, out of tables, brackets it; the sign of the difference then leads to it, and ends with the curve itself.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from wfl_sim.contracts import FloatArray
from wfl_sim.schedules.allocation import Allocation, Problem, allocate
from wfl_sim.schedules.base import end_together
from wfl_sim.schedules.menus import Surrogate, Vertices
from wfl_sim.schedules.roots import Function, around
from wfl_sim.schedules.roughcurve import rough

_GRID, _SIZE = (8, 48), 8_000  # times that are tried first: more of them where there are few clients
_LEAST = 1e-6  # of the time between the earliest and the dense end: nothing nearer to the earliest is tried
_FINER = 9  # times between the neighbours of the best of these
_SECANTS = 6  # steps to a better time; a smooth problem takes two
_EXACTLY = 1e-11  # of a logarithm: what is missed of the best objective is about as small a part of it
_ROUGHLY = 1e-6  # of a logarithm, where tables are asked
_NEAR = 1e-11  # of the logarithm of the time: where the error has a corner, it is all that is lost
_AT_POINT = 1e-4  # relative: bits so near those of a point count as its
_MANY = 50  # clients from whose number on
_THIN = 4  # every so-manieth point of measured curves is asked about first, and so many on both sides after that
_FAR = 1e-3  # of a logarithm: what tables say is nearer to the root, unless all are at points, where the pull jumps
_BESIDE_POINT = 1e-2  # relative: where all are so near their points, that may be the case
_BESIDE = 1e-9  # of the logarithm of the time: on both sides of a jump
_BESIDE_POINTS = 2  # of measured curves: the points of a client that are looked at with the curve itself
_FLAT = 1e-12  # relative: a step to a better tau that would gain less is not made


class Solution(NamedTuple):
    """The planned time of the round; kept fractions, bandwidths and bits on the air [clients]."""

    tau_s: float
    kept_fraction: FloatArray
    bandwidth_hz: FloatArray
    objective: float
    bits: FloatArray


def solve(
    problem: Problem, *, v: float, queue: float, budget_s: float, surrogate: Surrogate = "contraction"
) -> Solution:
    """Solve one round's drift-plus-penalty problem (module docstring).

    Parameters
    ----------
    problem : Problem
    v : float
        Weight of the error against the queue, > 0.
    queue : float
        Virtual queue in budgets, >= 0. At 0 time costs nothing: all send everything.
    budget_s : float
        Latency budget in seconds.
    surrogate : {"contraction", "variance", "tail"}
    """
    return _Search(problem, v, queue / budget_s, surrogate).best()


class _Search:
    def __init__(self, problem: Problem, v: float, per_second: float, surrogate: Surrogate) -> None:
        self._problem, self._v, self._per_second, self._surrogate = problem, v, per_second, surrogate
        self._rough = problem._replace(air=replace(problem.air, curve=rough(problem.air.curve)))
        self._first_s = 0.0
        self._bends = 0.0  # how fast `_pull` falls with the logarithm of the time

    def best(self) -> Solution:
        """The best plan."""
        fewest, most = self._problem.ends(self._surrogate)
        dense = self._all_send(most)
        if self._per_second <= 0 or np.all(fewest >= most):
            return dense
        least = self._all_send(fewest)
        found = [dense, least]
        if least.tau_s < dense.tau_s:
            log_slack, plan, ends = self._roughly(least.tau_s, dense.tau_s)
            found.append(self._exactly(log_slack, plan, ends))
            found += self._at_points(found[-1])
        return min(found, key=lambda solution: solution.objective)

    def _all_send(self, bits: FloatArray) -> Solution:
        """As early as all of them can send so many bits."""
        air = self._problem.air
        tau_s, bandwidth = end_together(air, self._problem.snr_hz, self._problem.ready_s, bits)
        return self._solution(tau_s, bits, bandwidth)

    def _solution(self, tau_s: float, bits: FloatArray, bandwidth_hz: FloatArray) -> Solution:
        kept = self._problem.kept(bits)
        return Solution(tau_s, kept, bandwidth_hz, float(self._objective(np.array([tau_s]), bits[None])[0]), bits)

    def _objective(self, taus: FloatArray, bits: FloatArray) -> FloatArray:
        error = self._problem.errors(bits, self._surrogate) @ self._problem.weight
        return np.asarray(self._v * error + self._per_second * taus)

    def _roughly(self, first_s: float, last_s: float) -> tuple[float, Allocation, tuple[FloatArray, FloatArray]]:
        """By tables: the best time, the plan there, and between which times it was looked for; see `_taus`."""
        vertices = self._problem.among(self._surrogate)
        size = self._problem.snr_hz.size if vertices is None else vertices.bits.size // 2
        steps = int(np.clip(_SIZE // size, *_GRID))
        self._first_s, width = first_s, math.log(last_s - first_s)
        low, high = width + math.log(_LEAST), width
        thin, finer, bits = self._thinned(vertices), min(steps, _FINER), np.zeros(0)
        stages = (steps, thin, 1e-4), (finer, thin, 1e-5), (finer, vertices, _ROUGHLY)
        for number, seen, near in stages:
            if seen is not None and vertices is not thin and seen is vertices:
                seen = seen.near(seen.place(bits), _THIN)
            problem = self._rough if seen is vertices else self._rough._replace(vertices=seen)
            logs = np.linspace(low, high, number)
            plans = allocate(problem, self._taus(logs), self._surrogate, near=near, saved=near == _ROUGHLY)
            at = int(np.argmin(self._objective(self._taus(logs), plans.bits)))
            low, high, bits = float(logs[max(at - 1, 0)]), float(logs[min(at + 1, number - 1)]), plans.bits[at]
        # the pull is nearly a straight line there: where it is 0, and how it falls
        pull = self._pull(plans)
        beside = at + 1 if at == 0 or (pull[at] > 0 and at < number - 1) else at - 1
        self._bends = float((pull[beside] - pull[at]) / (logs[beside] - logs[at]))
        step = -pull[at] / self._bends if self._bends < 0 else 0.0
        if at in (0, finer - 1):  # what the first tables said was not good enough
            low, high = width + math.log(_LEAST), width
        log_slack = np.clip(logs[at : at + 1] + step, low, high)
        plan = allocate(problem, self._taus(log_slack), self._surrogate, near=_ROUGHLY, like=_at(plans, at))
        return float(log_slack[0]), plan, (np.array([low]), np.array([high]))

    def _thinned(self, vertices: Vertices | None) -> Vertices | None:
        """Long curves of many clients by some of their points: enough to see which times are worth a look.

        Of few clients each point counts: their best time may lie far from the one that so few points show.
        """
        if vertices is None or vertices.bits.shape[0] < _MANY or vertices.bits.shape[1] <= 2 * _THIN + 1:
            return vertices
        last = vertices.bits.shape[1] - 1
        taken = np.append(np.arange(0, last, _THIN), last)
        return Vertices(vertices.bits[:, taken], vertices.error[:, taken])

    def _taus(self, logs: FloatArray) -> FloatArray:
        """Times whose distances to the earliest one have these logarithms.

        Where one client is by far the slowest, all that is to be decided lies just behind that.
        """
        return np.asarray(self._first_s + np.exp(logs))

    def _pull(self, plan: Allocation) -> FloatArray:
        """The logarithm of what one more second saves over what it costs [taus]: 0 at the best time."""
        return np.asarray(np.log(np.maximum(self._v * plan.saved / self._per_second, 1e-290)))

    def _exactly(self, log_slack: float, near: Allocation, ends: tuple[FloatArray, FloatArray]) -> Solution:
        """By the curve itself: the best time between `ends`, beginning at a plan that is near it."""
        problem, vertices = self._problem, self._problem.among(self._surrogate)
        if vertices is not None and vertices.bits.shape[1] > 2 * _BESIDE_POINTS + 1:
            problem = problem._replace(vertices=vertices.near(vertices.place(near.bits[0]), _BESIDE_POINTS))
        plan = near

        def pull(logs: FloatArray) -> FloatArray:
            nonlocal plan
            plan = allocate(problem, self._taus(logs), self._surrogate, near=_EXACTLY, like=plan)
            return self._pull(plan)

        at, bends, before = np.array([log_slack]), self._bends, (math.nan, math.nan)
        for number in range(_SECANTS):
            off = float(pull(at)[0])
            solution = self._solution(float(self._taus(at)[0]), plan.bits[0], plan.bandwidth_hz[0])
            if number == 0 and abs(off) > _FAR and (corner := self._corner(pull, solution.bits)) is not None:
                return corner
            if at[0] != before[0] and before[1] != off and math.isfinite(before[1]):
                bends = (off - before[1]) / (at[0] - before[0])
            step = -off / bends if bends < 0 else math.inf
            if abs(step * math.expm1(off)) * math.exp(at[0]) * self._per_second <= _FLAT * solution.objective:
                break
            before, at = (float(at[0]), off), np.clip(at + step, *ends)
        else:  # at a corner of the error, perhaps
            at = around(pull, at, *ends, near=_NEAR)
            pull(at)
            found = self._solution(float(self._taus(at)[0]), plan.bits[0], plan.bandwidth_hz[0])
            solution = min(solution, found, key=lambda solution: solution.objective)
        if problem is not self._problem and self._at_edge(problem, solution.bits):
            problem, plan = self._problem, near
            at = around(pull, at, *ends, near=_NEAR)
            pull(at)
            solution = self._solution(float(self._taus(at)[0]), plan.bits[0], plan.bandwidth_hz[0])
        return solution

    def _corner(self, pull: Function, bits: FloatArray) -> Solution | None:
        """The plan with all at the points next to these bits, if no time beside its own is better."""
        point, found = self._points(bits), None
        if np.abs(point / bits - 1).max() <= _BESIDE_POINT:
            corner = self._all_send(point)
            if corner.tau_s > self._first_s:
                at = np.log([corner.tau_s - self._first_s])
                found = corner if pull(at - _BESIDE)[0] > 0 > pull(at + _BESIDE)[0] else None
        return found

    def _points(self, bits: FloatArray) -> FloatArray:
        """The points of the curves [clients], or their ends, next to these bits."""
        vertices = self._problem.among(self._surrogate)
        points = np.stack(self._problem.ends(self._surrogate), axis=1) if vertices is None else vertices.bits
        place = np.abs(points - bits[:, None]).argmin(axis=1)
        return np.asarray(points[np.arange(bits.size), place])

    def _at_points(self, solution: Solution) -> list[Solution]:
        """The same plan with those who are as good as at a point of their curve just there, all ending together.

        The best time may be that at which all are at points, where the pull jumps and a search ends beside it.
        """
        vertices = self._problem.among(self._surrogate)
        if vertices is None or vertices.bits.shape[1] == 2:
            return []
        point = self._points(solution.bits)
        return [self._all_send(np.where(np.abs(point / solution.bits - 1) <= _AT_POINT, point, solution.bits))]

    def _at_edge(self, problem: Problem, bits: FloatArray) -> bool:
        """Whether some would send less or more than the part of their curves that was looked at."""
        (first, last), (fewest, most) = problem.ends(self._surrogate), self._problem.ends(self._surrogate)
        return bool((((bits <= first) & (first > fewest)) | ((bits >= last) & (last < most))).any())


def _at(plans: Allocation, place: int) -> Allocation:
    return Allocation(*(part[place : place + 1] for part in plans))
