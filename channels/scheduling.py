"""Who gets a slot: round robin, the largest rate, and proportional fairness, from the rates that users would have.

Knows no link, queue or clock: a rate of 0 stands for a user that cannot or need not send, whatever the reason.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, non_negative

IDLE = -1
"""Stands for the user of a slot that nobody can use."""


def round_robin(rates_bps: ArrayLike, last: int = IDLE) -> Ints:
    """By turns: each slot goes to the next user, in the order of their numbers, who has a rate above 0.

    Of N users who always can send, each gets 1/N of the slots.

    Parameters
    ----------
    rates_bps : array_like of float
        Rates [users, slots] that each user would have, in bit/s, at least 0.
    last : int
        Who had the slot before the first; by default the turn begins with user 0.

    Returns
    -------
    ndarray of int
        The user of each slot [slots]; -1 where all rates are 0.

    Examples
    --------
    >>> round_robin([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]]).tolist()
    [0, 2, 0, 1]
    """
    rates = _checked(rates_bps)
    users = rates.shape[0]
    if not IDLE <= last < users:
        raise ValueError(f"last must be one of {users} users or {IDLE}; got {last}")
    chosen = np.full(rates.shape[1], IDLE, dtype=np.int64)
    # A loop over the slots: whose turn it is depends on who had the one before.
    for slot, able in enumerate((rates > 0.0).T):
        waiting = np.flatnonzero(able)
        if waiting.size:
            after = int(np.searchsorted(waiting, last, side="right"))
            last = int(waiting[after % waiting.size])
            chosen[slot] = last
    return chosen


def largest_rate(rates_bps: ArrayLike, first_slot: int = 0) -> Ints:
    """Maximum C/I: each slot goes to the user with the largest rate in it.

    With N users whose SNR is exponential of one mean, the SNR of the chosen has that mean times
    H_N = 1 + 1/2 + ... + 1/N, and each gets 1/N of the slots. That is a gain of SNR; rates gain less. Knopp and Humblet
    1995, Proc. IEEE ICC, 331-335; H_N is the mean of the largest of N exponentials.

    Parameters
    ----------
    rates_bps : array_like of float
        Rates [users, slots] in bit/s, at least 0.
    first_slot : int
        Number of the first slot. Equal rates take turns: in slot t the user counted first is t modulo N.

    Returns
    -------
    ndarray of int
        The user of each slot [slots]; -1 where all rates are 0.

    Examples
    --------
    >>> largest_rate([[5, 2, 3], [4, 2, 9]]).tolist()
    [0, 1, 1]
    """
    rates = _checked(rates_bps)
    users, slots = rates.shape
    most = rates.max(axis=0)
    turn = (np.arange(users)[:, None] - np.arange(slots) - first_slot) % users
    chosen = np.argmin(np.where(rates == most, turn, users), axis=0)
    return np.where(most > 0.0, chosen, IDLE)


def proportional_fair(
    rates_bps: ArrayLike,
    averaging_slots: float,
    served_bps: ArrayLike | None = None,
    enough_bps: ArrayLike | None = None,
) -> tuple[Ints, Floats]:
    """Proportional fairness: a slot, or a block of it, goes to the user with the largest rate against what it got.

    In slot t, with rates R_k and averages T_k, the user is k* = argmax R_k(t) / T_k(t), and then::

        T_k(t + 1) = (1 - 1/t_c) T_k(t) + (1/t_c) R_k(t) [k = k*]

    A user with T_k = 0 and a rate above 0 comes first; of equals, the one of the lowest number. If rates are linear in
    the fading and its law is the same for all, each of N users gets 1/N of the slots, whatever their mean rates: a
    user's rates times a constant change no choice. Where a slot has several blocks, each goes to the user of the
    largest R_k / T_k in it, and R_k(t) is the sum over those that the user got.

    Viswanath, Tse and Laroia 2002, IEEE Trans. Inf. Theory 48(6) 1277-1294, doi:10.1109/TIT.2002.1003822.

    Parameters
    ----------
    rates_bps : array_like of float
        Rates [users, slots] or [users, slots, blocks] that each user would have, in bit/s, at least 0.
    averaging_slots : float
        The constant t_c, at least 1: over how many slots the average reaches back. Longer: nearer to the user that is
        best just now, and longer waits.
    served_bps : array_like of float, optional
        The averages [users] before the first slot; default 0.
    enough_bps : array_like of float, optional
        Sums of rates [users]: the slot in which any user's rates come to as much is the last; default all slots.

    Returns
    -------
    chosen : ndarray of int
        The user of each slot, [slots] or [slots, blocks]; -1 where all rates are 0. Shorter where a user had enough.
    served_bps : ndarray
        The averages [users] after the last slot, with which a later call goes on.

    Examples
    --------
    >>> chosen, served = proportional_fair([[8, 8, 8, 8], [2, 2, 2, 2]], averaging_slots=2)
    >>> chosen.tolist()
    [0, 1, 0, 1]
    """
    rates = _checked(rates_bps, blocks=True)
    users = rates.shape[0]
    if not 1.0 <= averaging_slots < np.inf:
        raise ValueError(f"averaging_slots must be finite and at least 1; got {averaging_slots}")
    served = np.zeros(users) if served_bps is None else non_negative("a served rate in bit/s", served_bps).copy()
    left = np.full(users, np.inf) if enough_bps is None else np.array(enough_bps, dtype=np.float64)
    for what, values in (("served_bps", served), ("enough_bps", left)):
        if values.shape != (users,):
            raise ValueError(f"{what} must have the shape [{users} users]; got {values.shape}")
    keep, gain = 1.0 - 1.0 / averaging_slots, 1.0 / averaging_slots
    each = _single if rates.ndim == 2 else _by_blocks
    with np.errstate(divide="ignore", invalid="ignore"):
        chosen = each(rates, keep, gain, served, left)
    return chosen, served


def _single(rates: Floats, keep: float, gain: float, served: Floats, left: Floats) -> Ints:
    """The users of slots; `served` and `left` are carried on in place."""
    users, slots = rates.shape
    chosen = np.full(slots, IDLE, dtype=np.int64)
    claim, able = np.empty(users), np.asarray(rates.any(axis=0)).tolist()
    positive = bool((rates > 0.0).all())
    # A loop over the slots: an average depends on every choice before.
    for slot, rate in enumerate(np.ascontiguousarray(rates.T)):
        if able[slot]:
            np.divide(rate, served, out=claim)
            if not positive:
                claim[rate == 0.0] = 0.0  # 0 / 0 as well
            user = claim.argmax()
            chosen[slot], won = user, rate[user]
            served *= keep
            served[user] += gain * won
            left[user] -= won
            if left[user] <= 0.0:
                return chosen[: slot + 1]
        else:
            served *= keep
    return chosen


def _by_blocks(rates: Floats, keep: float, gain: float, served: Floats, left: Floats) -> Ints:
    """The same with the users of the blocks of each slot."""
    users, slots, blocks = rates.shape
    chosen = np.full((slots, blocks), IDLE, dtype=np.int64)
    place = np.arange(blocks)
    for slot, rate in enumerate(np.ascontiguousarray(rates.transpose(1, 2, 0))):
        claim = rate / served
        claim[rate == 0.0] = 0.0
        best = claim.argmax(axis=1)
        able = claim[place, best] > 0.0
        chosen[slot] = np.where(able, best, IDLE)
        won = np.bincount(best, weights=np.where(able, rate[place, best], 0.0), minlength=users)
        served *= keep
        served += gain * won
        left -= won
        if (left <= 0.0).any():
            return chosen[: slot + 1]
    return chosen


def weighted_turns(weights: ArrayLike, slots: int, credit: ArrayLike | None = None) -> tuple[Ints, Floats]:
    """By turns, as often as a weight says: the users of a number of slots.

    In each slot every user's credit rises by its weight; the one with the most gets the slot and pays the sum of all
    weights (of equals, the lowest number). In S slots user k gets about S w_k / sum(w) of them.

    The rule of the largest credit is the usual smooth weighted round robin.

    Parameters
    ----------
    weights : array_like of float
        Of each user [users], at least 0, not all 0.
    slots : int
    credit : array_like of float, optional
        Credits [users] before the first slot; default 0.

    Returns
    -------
    (chosen, credit) : the user of each slot [slots], and the credits after the last

    Examples
    --------
    >>> weighted_turns([2, 1, 1], 8)[0].tolist()
    [0, 1, 2, 0, 0, 1, 2, 0]
    """
    weight = non_negative("a weight", weights)
    if weight.ndim != 1 or not weight.any():
        raise ValueError(f"weights must be a list with one above 0 at least; got {weights!r}")
    owed = np.zeros(weight.size) if credit is None else np.array(credit, dtype=np.float64)
    chosen, total = np.empty(slots, dtype=np.int64), float(weight.sum())
    for slot in range(slots):
        owed += weight
        user = owed.argmax()
        chosen[slot] = user
        owed[user] -= total
    return chosen, owed


def slot_shares(chosen: ArrayLike, users: int) -> Floats:
    """The share of all slots that each user got, [users]; they sum to less than 1 where slots stayed idle."""
    picked = np.asarray(chosen, dtype=np.int64)
    if not picked.size:
        raise ValueError("shares of no slots")
    if picked.min() < IDLE or picked.max() >= users:
        wrong = picked[(picked < IDLE) | (picked >= users)][0]
        raise ValueError(f"a slot's user must be {IDLE} or one of {users} users; got {wrong}")
    return np.bincount(picked[picked != IDLE], minlength=users) / picked.size


def _checked(rates_bps: ArrayLike, blocks: bool = False) -> Floats:
    rates = non_negative("a rate in bit/s", rates_bps)
    if rates.ndim not in ((2, 3) if blocks else (2,)) or not rates.shape[0]:
        raise ValueError(f"rates must have the shape [users, slots], with a user at least; got {rates.shape}")
    return rates
