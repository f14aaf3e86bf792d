"""Effective SNR: many SNRs of one transport block become the one SNR at which it would fail as often.

Knows no fading and no block error rate: numbers in, one number out, and the factor that a modulation and code ask for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, non_negative

_RATE_UNIT = 1024.0
# By modulation order (bits a symbol): code rates x 1024 of the MCS in TS 38.214 Table 5.1.3.1-1, MCS 0 to 28 in a row,
# and the beta of each.
_BETA: dict[int, tuple[tuple[int, ...], tuple[float, ...]]] = {
    2: (
        (120, 157, 193, 251, 308, 379, 449, 526, 602, 679),
        (1.60, 1.61, 1.63, 1.65, 1.67, 1.70, 1.73, 1.76, 1.79, 1.82),
    ),
    4: (
        (340, 378, 434, 490, 553, 616, 658),
        (3.97, 4.27, 4.71, 5.16, 5.66, 6.16, 6.50),
    ),
    6: (
        (438, 466, 517, 567, 616, 666, 719, 772, 822, 873, 910, 948),
        (9.95, 10.97, 12.92, 14.96, 17.06, 19.33, 21.85, 24.51, 27.14, 29.94, 32.05, 34.28),
    ),
}  # fmt: skip
_LOWEST_RATE = 78  # of CQI 1: below all MCS, but beta hardly changes there
_ROUNDED = 0.5  # of 1/1024: how far a rounded code rate may lie outside


def effective_snr(snr: ArrayLike, beta: ArrayLike) -> Floats:
    """Exponential effective SNR mapping (EESM) over the last axis.

    ``-beta ln(mean_f exp(-snr_f / beta))``: between the least SNR (small beta) and the mean (large beta). It is summed
    from the least SNR up, so that no exponential overflows and none that counts vanishes.

    Parameters
    ----------
    snr : array_like of float
        Linear SNRs [..., F] on F frequencies (or symbols) of equal weight, at least 0.
    beta : array_like of float
        Factors [...], above 0, broadcast against the axes of `snr` before the last; see `beta_of`.

    Returns
    -------
    ndarray
        Linear SNRs [...].

    Raises
    ------
    ValueError
        A SNR that is negative, NaN or infinite, no SNR at all, a beta that is not finite and above 0.

    Source
    ------
    3GPP TR 25.892 V6.0.0, annex A.4; Brueninghaus et al. 2005, IEEE PIMRC, doi:10.1109/PIMRC.2005.1651855.

    Examples
    --------
    >>> round(float(effective_snr([1.0, 10.0], 1.6)), 3)
    2.103
    """
    values, factor = non_negative("a linear SNR", snr), non_negative("a beta", beta)
    if not values.ndim or not values.shape[-1]:
        raise ValueError(f"snr needs a last axis of one or more frequencies; got shape {values.shape}")
    if factor.size and not factor.min() > 0.0:
        raise ValueError("a beta must be finite and above 0; got 0.0")
    count = values.shape[-1]
    low = values.min(axis=-1)
    excess = values - low[..., None]
    with np.errstate(over="ignore"):  # far above the least SNR, where the exponential is 0
        lost = np.expm1(-excess / factor[..., None]).sum(axis=-1) / count
    mean = low + (excess / count).sum(axis=-1)
    return np.asarray(np.minimum(low - factor * np.log1p(lost), mean))


def beta_of(modulation_order: ArrayLike, code_rate: ArrayLike) -> Floats:
    """The beta of `effective_snr` for a modulation and code: that of the MCS with the nearest code rate.

    Parameters
    ----------
    modulation_order : array_like of int
        Bits a symbol: 2, 4 or 6.
    code_rate : array_like of float
        Bits before coding over bits after; broadcast against `modulation_order`. From 78/1024 (QPSK), 340/1024 (16QAM)
        or 438/1024 (64QAM) up to 679/1024, 658/1024 or 948/1024.

    Returns
    -------
    ndarray
        Betas of the broadcast shape.

    Raises
    ------
    ValueError
        A modulation or a code rate for which there is no published beta.

    Source
    ------
    Lagen, Wanuga, Elkotby, Goyal, Patriciello and Giupponi 2020, *New Radio Physical Layer Abstraction for System-Level
    Simulations of 5G Networks*, IEEE ICC, doi:10.1109/ICC40277.2020.9149444: fits to link simulations with the LDPC
    codes of NR, for the MCS of TS 38.214 Table 5.1.3.1-1. The numbers are those that both the authors' simulator,
    5G-LENA, and Sionna SYS 2.2 carry.
    """
    orders, rates = np.broadcast_arrays(np.asarray(modulation_order), non_negative("a code rate", code_rate))
    unknown = ~np.isin(orders, list(_BETA))
    if unknown.any():
        raise ValueError(f"no beta is known for modulation order {orders[unknown].flat[0]}; known are 2, 4 and 6")
    result = np.empty(orders.shape)
    for order, (table, betas) in _BETA.items():
        here = orders == order
        wanted = rates[here] * _RATE_UNIT
        lowest, highest = (_LOWEST_RATE if order == 2 else table[0]), table[-1]
        outside = (wanted < lowest - _ROUNDED) | (wanted > highest + _ROUNDED)
        if outside.any():
            raise ValueError(
                f"no beta is known for modulation order {order} at code rate {wanted[outside][0] / _RATE_UNIT:.4g}; "
                f"known are {lowest}/1024 to {highest}/1024"
            )
        nearest = np.abs(wanted[:, None] - np.asarray(table)).argmin(axis=1)
        result[here] = np.asarray(betas)[nearest]
    return result
