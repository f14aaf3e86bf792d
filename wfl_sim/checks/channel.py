"""Checks of the channel's nouns: path loss, fading, shadowing, loss, rate, placement, mobility.

Know the contracts in `channels` and no model of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channels.erasure import Loss
from channels.fading import Fading, Selective
from channels.linkadaptation import Direction, LinkAdaptation
from channels.mobility import Disc, Mobility, Placement
from channels.pathloss import PathLoss, Sighted, UMa, Validity
from channels.penetration import Penetration
from channels.ratecurve import Plan
from channels.shadowing import PlacedShadowing, Places, Shadowing
from channels.streams import Stream
from wfl_sim.checks.contract import LAW, NOT_A_PLACE_OR_TIME, Contract, Ints

INVERSE = 1e-6  # relative: a SNR this much smaller is another one
LAST_BITS = 1e-12  # relative: one formula, evaluated one by one or all at once
_ENSEMBLE = 4096  # clients of a mean
_SEEDS = 512  # seeds of one


def check_path_loss(model: PathLoss, carrier_hz: float = 3.5e9) -> None:
    """Hold a path loss model against `channels.pathloss.PathLoss`, at a carrier within its range."""
    contract = Contract(model, "channels.pathloss.PathLoss")
    contract.options(1)

    def loss(distance_m: Any) -> Any:
        return model.path_loss_db(distance_m, carrier_hz)

    distance = np.concatenate([[0.0], np.geomspace(1e-2, 1e5, 281)])
    contract.floats(2, "the loss from 0.01 m to 100 km", lambda: loss(distance[1:]), distance[1:].shape)
    for shape in ((), (0,), (3,), (2, 3)):
        contract.floats(2, f"the loss at distances {shape}", partial(loss, np.full(shape, 70.0)), shape)
    contract.floats(4, "the loss at distance 0", lambda: loss(np.zeros(1)), (1,))
    values = contract.floats(2, "the loss at 0 to 100 km", lambda: loss(distance), distance.shape)
    contract.floats(2, "the loss at a list of distances", lambda: loss([35, 70]), (2,))
    falls = np.flatnonzero(np.diff(values) < -1e-9)
    if falls.size:
        i = falls[0]
        raise contract.broken(2, f"the loss falls from {values[i]:.6g} dB at {distance[i]:.6g} m "
                              f"to {values[i + 1]:.6g} dB at {distance[i + 1]:.6g} m")  # fmt: skip
    given = distance.copy()
    again = loss(given)
    contract.holds(3, np.array_equal(given, distance), "the distances given were changed")
    contract.holds(3, np.array_equal(again, values), "the same question twice gave two answers")
    alone = np.array([float(loss(d)) for d in distance[::20]])
    same = np.allclose(alone, values[::20], rtol=LAST_BITS, atol=0.0)
    contract.holds(3, same, "the loss at a distance depends on the other distances")
    for bad in NOT_A_PLACE_OR_TIME:
        contract.refuses(4, f"a distance of {bad} m", partial(loss, [70.0, bad]))
    contract.card(5)
    validity = getattr(model, "validity", Validity())
    contract.holds(7, isinstance(validity, Validity), f"validity is {validity!r:.60}, not a Validity")
    if isinstance(model, Sighted):
        share = contract.floats(7, "los_probability()", lambda: model.los_probability(distance), distance.shape)
        contract.holds(7, share.min() >= 0 and share.max() <= 1, "los_probability() leaves [0, 1]")
        clear, blocked = (model.path_loss_db(distance, carrier_hz, los) for los in (True, False))
        contract.holds(7, (blocked >= clear).all(), "the loss without line of sight is below that with it")


def check_penetration(model: Penetration) -> None:
    """Hold a penetration model against `channels.penetration.Penetration`."""
    contract = Contract(model, "channels.penetration.Penetration")
    contract.options(1)
    stream, clients = Stream.root(1).child("check"), np.array([0, 7, 3, 40])
    depth = contract.floats(2, "depth_m() of 4 clients", lambda: model.depth_m(stream, clients), (4,))
    contract.holds(2, depth.min() >= 0, f"a depth of {depth.min():.4g} m is below 0")
    loss = contract.floats(3, "loss_db() of 4 clients", lambda: model.loss_db(stream, clients, 3.5e9), (4,))
    for i, client in enumerate(clients):
        alone = model.depth_m(stream, [client])[0] == depth[i] and model.loss_db(stream, [client], 3.5e9)[0] == loss[i]
        contract.holds(4, alone, f"what client {client} loses depends on who is asked for beside it")
    typical = contract.ask(5, "typical_db()", lambda: tuple(float(x) for x in model.typical_db(3.5e9)))
    contract.holds(5, len(typical) == 2 and typical[1] >= 0, f"typical_db() is {typical}, not a mean and a deviation")
    many = np.arange(_ENSEMBLE)
    inside = model.loss_db(stream, many, 3.5e9)[model.depth_m(stream, many) > 0]
    if inside.size:
        contract.mean(5, "the loss inside, against typical_db(),", inside, typical[0])
    contract.card(6)


def check_fading(model: Fading) -> None:
    """Hold a fading model against `channels.fading.Fading`."""
    contract = Contract(model, "channels.fading.Fading")
    contract.options(1)
    stream, clients = Stream.root(1).child("check"), np.array([0, 7, 3, 40])
    doppler, times = np.array([0.0, 5.0, 97.0, 400.0]), np.sort(Stream.root(2).uniform(0, np.arange(60))) * 3.0
    contract.floats(
        2, "the gain [4, 60]", lambda: model.power_gain(stream, clients, times, doppler), (clients.size, times.size)
    )
    contract.floats(2, "the gain at no time", lambda: model.power_gain(stream, clients, [], 10.0), (4, 0))
    whole = contract.any_order(
        3, "the gain", lambda r, c: model.power_gain(stream, clients[r], times[c], doppler[r]), 4, 60
    )
    contract.holds(2, whole.min() >= 0, f"a gain of {whole.min():.4g} is below 0")
    gains, weights = (np.asarray(x, dtype=float) for x in contract.ask(4, "quadrature()", model.quadrature))
    right = gains.ndim == 1 and gains.shape == weights.shape and gains.size
    contract.holds(4, right, f"quadrature() gives gains {gains.shape} and weights {weights.shape}, not two lists [J]")
    contract.holds(4, weights.min() >= 0 and gains.min() >= 0, "quadrature() gives a gain or a weight below 0")
    contract.holds(
        4, abs(weights.sum() - 1) <= LAW, f"the weights of quadrature() sum to {weights.sum():.8g}, not to 1"
    )
    mean = float(weights @ gains)
    contract.holds(2, abs(mean - 1) <= LAW, f"the mean gain by quadrature() is {mean:.8g}, not 1")
    draws = [model.power_gain(Stream.root(seed).child("check"), range(_ENSEMBLE), [0.0, 1.7], 50.0) for seed in (3, 4)]
    # Two times of one client may be alike: they count as one draw.
    contract.mean(2, "the gain", np.concatenate(draws).mean(axis=1), 1.0)
    law = float(weights @ np.log1p(gains))
    contract.mean(4, "ln(1 + gain), against quadrature(),", np.log1p(np.concatenate(draws)).mean(axis=1), law)
    for bad in NOT_A_PLACE_OR_TIME:
        contract.refuses(5, f"a time of {bad} s", partial(model.power_gain, stream, clients, [1.0, bad], doppler))
    contract.card(6)
    if isinstance(model, Selective):
        _check_selective(contract, model, law)


def _check_selective(contract: Contract, model: Any, mean_log: float) -> None:
    """Clause 8 of `Fading`, which is the contract of `Selective`; `mean_log` is the mean of ln(1 + gain) by the law."""
    stream, clients = Stream.root(1).child("check"), np.array([0, 7, 3, 40])
    times, offsets = np.sort(Stream.root(2).uniform(0, np.arange(60))) * 3.0, np.array([-3e6, 0.0, 2.5e5, 7e7])
    for band in (1e3, 1e7, 1e9):
        chosen = contract.ask(8, "offsets_hz()", partial(model.offsets_hz, band))
        right = isinstance(chosen, np.ndarray) and chosen.ndim == 1 and chosen.size
        contract.holds(8, right, f"offsets_hz({band:g}) is {chosen!r:.60}, not a list of frequencies")
        contract.holds(8, np.abs(chosen).max() <= 0.5 * band, f"offsets_hz({band:g}) leaves the band")

    def gain(rows: Ints, columns: Ints, asked: Any = offsets) -> Any:
        return model.frequency_gain(stream, clients[rows], times[columns], 97.0, asked)

    everything = np.arange(4), np.arange(60)
    contract.floats(8, "the gain at 4 frequencies", lambda: gain(*everything), (4, 60, 4))
    whole = contract.any_order(8, "the gain over frequencies", gain, 4, 60)
    contract.holds(8, whole.min() >= 0, f"a gain of {whole.min():.4g} is below 0")
    some = gain(*everything, offsets[[2, 0]])
    contract.holds(8, np.array_equal(some, whole[..., [2, 0]]), "the gain at a frequency depends on the others asked")
    carrier = model.power_gain(stream, clients, times, 97.0)
    contract.holds(8, np.array_equal(whole[..., 1], carrier), "the gain at offset 0 is not that of power_gain()")
    draws = model.frequency_gain(stream, range(2 * _ENSEMBLE), [1.7], 50.0, [-4e6])
    contract.mean(8, "ln(1 + gain) off the carrier, against quadrature(),", np.log1p(draws).ravel(), mean_log)
    for bad in (np.nan, np.inf):
        contract.refuses(8, f"an offset of {bad} Hz", partial(gain, *everything, [0.0, bad]))


def check_shadowing(model: Shadowing | PlacedShadowing) -> None:
    """Hold a shadowing model against `channels.shadowing.Shadowing`, or against `PlacedShadowing`."""
    protocol = "PlacedShadowing" if isinstance(model, PlacedShadowing) else "Shadowing"
    contract = Contract(model, f"channels.shadowing.{protocol}")
    contract.options(1)
    stream, clients = Stream.root(1).child("check"), np.array([0, 7, 3, 40])
    steps = [Stream.root(seed).uniform(np.arange(4)[:, None], np.arange(60)) * 9.0 for seed in (2, 3)]
    travelled, across = (np.cumsum(step, axis=1) for step in steps)

    def ask(stream: Stream, clients: Any, travelled: Any, across: Any) -> Any:
        if isinstance(model, PlacedShadowing):
            return model.shadowing_at_db(stream, clients, _places(travelled, across))
        return model.shadowing_db(stream, clients, travelled)

    def part(rows: Ints, columns: Ints) -> Any:
        return ask(stream, clients[rows], travelled[np.ix_(rows, columns)], across[np.ix_(rows, columns)])

    contract.floats(2, "the level [4, 60]", lambda: ask(stream, clients, travelled, across), travelled.shape)
    contract.any_order(3, "the level", part, 4, 60)
    if isinstance(model, PlacedShadowing):  # whoever stands in one place may share its shadowing, but no other seed
        place = np.full((1, 1), 123.0)
        draws = np.array([ask(Stream.root(seed), np.array([0]), place, place)[0, 0] for seed in range(_SEEDS)])
    else:
        draws = model.shadowing_db(stream, range(_ENSEMBLE), np.full((_ENSEMBLE, 1), 123.0))[:, 0]
    contract.mean(2, "the level in dB", draws, 0.0)
    for bad in NOT_A_PLACE_OR_TIME:
        question = partial(ask, stream, np.array([0]), np.array([[1.0, bad]]), np.array([[1.0, 2.0]]))
        contract.refuses(4, f"a distance of {bad} m", question)
    contract.card(5)
    if isinstance(model, PlacedShadowing):
        contract.holds(7, isinstance(model.needs_sight, bool), f"needs_sight is {model.needs_sight!r:.60}, not a bool")
    if not getattr(model, "needs_sight", False):  # else the path loss states it
        stated = contract.ask(8, "std_db", lambda: float(model.std_db))  # type: ignore[union-attr]
        contract.holds(8, 0.0 <= stated < np.inf, f"std_db is {stated}, not a deviation in dB")
        contract.mean(8, "the squared level in dB, against std_db,", draws**2, stated**2)


def _places(travelled: Any, across: Any) -> Places:
    """Places along a street, those to the north of 250 m in sight."""
    position = np.stack([travelled, across], axis=-1)
    indoor = np.arange(len(travelled))[:, None] < 0
    path_loss = UMa(line_of_sight="probability")
    return Places(travelled, np.hypot(travelled, across), position, across > 250.0, indoor, path_loss, 3.5e9)


def check_loss(model: Loss) -> None:
    """Hold a loss model against `channels.erasure.Loss`."""
    contract = Contract(model, "channels.erasure.Loss")
    contract.options(1)
    stream, times = Stream.root(1).child("check"), np.sort(Stream.root(2).uniform(0, np.arange(60))) * 3.0
    clients, attempts = np.array([0, 7, 3, 40]), np.arange(60) * 3
    everyone = clients[:, None]
    for asked in ((3, attempts, times), (everyone, attempts, times), (everyone, 5, 0.0), (3, 5, times), (3, 5, 0.0),
                  (clients[:0], 5, 0.0)):  # fmt: skip
        shape = np.broadcast(*asked).shape
        lost: Any = contract.ask(2, "lost()", partial(model.lost, stream, *asked))
        lost = np.asarray(lost) if isinstance(lost, np.generic) else lost  # a scalar of numpy has no dimension
        right = isinstance(lost, np.ndarray) and lost.dtype == np.bool_ and lost.shape == shape
        contract.holds(2, right, f"lost() of packets {shape} is {lost!r:.60}, not as many answers true or false")

    def table(rows: Ints, columns: Ints) -> NDArray[Any]:
        return model.lost(stream, everyone[rows], attempts[columns], times[columns])

    whole = contract.any_order(3, "the loss", table, 4, 60)
    listed = [part.ravel() for part in np.broadcast_arrays(everyone, attempts, times)]
    same = np.array_equal(model.lost(stream, *listed), whole.ravel())
    contract.holds(3, same, "the loss of packets in one list differs from that of the same packets in a table")
    in_time = contract.ask(7, "in_time", lambda: model.in_time)
    contract.holds(7, isinstance(in_time, bool), f"in_time is {in_time!r:.60}, neither True nor False")
    many = np.arange(128)[:, None], np.arange(512), np.linspace(0.0, 1000.0, 512)
    fates = model.lost(stream, *many)
    fixed = in_time or np.array_equal(model.lost(stream, *many[:2], 0.0), fates)
    contract.holds(7, fixed, "in_time is False, but the loss of a packet changes with its time")
    mean = contract.ask(4, "mean_loss", lambda: float(model.mean_loss))
    contract.holds(4, 0.0 <= mean < 1.0, f"mean_loss is {mean}, not in [0, 1)")
    # Bursts make the packets of a client alike, so the scatter between clients says how well the mean is known.
    contract.mean(4, "the loss", fates.mean(axis=1), mean)
    for bad in NOT_A_PLACE_OR_TIME:
        contract.refuses(5, f"a time of {bad} s", partial(model.lost, stream, 0, [1, 2], [1.0, bad]))
    contract.card(1)


def check_placement(model: Placement) -> None:
    """Hold a placement against `channels.mobility.Placement`."""
    contract = Contract(model, "channels.mobility.Placement")
    contract.options(1)
    stream, clients = Stream.root(1).child("check"), np.array([0, 7, 3])
    start = contract.floats(2, "start_m() of 3 clients", lambda: model.start_m(stream, clients, 9), (3, 2))
    alone = contract.floats(2, "start_m() of one client", lambda: model.start_m(stream, clients[1:2], 9), (1, 2))
    contract.holds(2, np.array_equal(alone, start[1:2]), "where a client stands depends on who is asked for beside it")
    u, v = np.array([[0.1, 0.4, 0.9]]), np.array([[0.3, 0.8, 0.2]])
    points = contract.floats(3, "point_m() of [1, 3] numbers", lambda: model.point_m(u, v), (1, 3, 2))
    same = bool(np.ptp(points.reshape(-1, 2), axis=0).max() == 0.0)
    is_point = contract.ask(4, "is_point", lambda: model.is_point)
    contract.holds(4, is_point is same, f"is_point is {is_point}, but points of the region are {points.tolist()}")
    contract.card(1)


def check_mobility(model: Mobility) -> None:
    """Hold a mobility model against `channels.mobility.Mobility`, with clients placed in a disc."""
    contract = Contract(model, "channels.mobility.Mobility")
    contract.options(1)
    stream, disc = Stream.root(1).child("check"), Disc(from_m=10.0, to_m=500.0)
    most = contract.ask(7, "most_clients()", getattr(model, "most_clients", lambda: 50))
    contract.holds(7, most > 0, f"most_clients() is {most!r:.60}")
    clients = np.array([0, 7, 3, 40]) % most  # one of its clients may stand for several
    times = np.sort(Stream.root(2).uniform(0, np.arange(60))) * 300.0
    path = contract.ask(2, "trajectory()", lambda: model.trajectory(stream, disc, clients, 50))
    start = contract.floats(2, "position_m() at time 0", lambda: path.position_m([0.0]), (4, 1, 2))[:, 0]
    placed = disc.start_m(stream.child("placement"), clients, 50)
    close = getattr(model, "brings_places", False) or np.allclose(start, placed, rtol=1e-9, atol=1e-9)
    contract.holds(2, close, f"clients start at {start.tolist()}, but are placed at {placed.tolist()}")
    position = contract.any_order(
        3, "the position",
        lambda r, c: model.trajectory(stream, disc, clients[r], 50).position_m(times[c]), 4, 60,
    )  # fmt: skip
    contract.any_order(3, "the position from one trajectory", lambda r, c: path.position_m(times[c], r), 4, 60)
    distance = contract.floats(2, "distance_m()", lambda: path.distance_m(times), (4, 60))
    right = np.allclose(distance, np.hypot(position[..., 0], position[..., 1]), rtol=1e-9)
    contract.holds(2, right, "distance_m() is not the distance of position_m() from the base station")
    travelled = contract.floats(2, "travelled_m()", lambda: path.travelled_m(times), (4, 60))
    speed = np.asarray(contract.ask(2, "speed_mps", lambda: path.speed_mps), dtype=np.float64)
    fine = speed.shape in ((), (4,)) and bool(np.all((speed >= 0.0) & (speed < np.inf)))
    contract.holds(2, fine, f"speed_mps is {path.speed_mps!r:.60}, not one speed or one for each client")
    contract.holds(2, (np.diff(travelled, axis=1) >= 0.0).all(), "travelled_m() falls somewhere")
    contract.any_order(
        3, "the way travelled",
        lambda r, c: model.trajectory(stream, disc, clients[r], 50).travelled_m(times[c]), 4, 60,
    )  # fmt: skip
    straight = np.hypot(*np.moveaxis(np.diff(position, axis=1), -1, 0))
    far = straight <= np.diff(travelled, axis=1) * (1 + 1e-9) + 1e-6
    contract.holds(2, far.all(), "a client gets further than the length of its path")
    contract.card(4)
    still = contract.ask(6, "is_still", lambda: model.is_still)
    contract.holds(6, not (still and travelled.any()), "is_still is true, but clients move")


def check_link_adaptation(model: LinkAdaptation) -> None:
    """Hold a rate model against `channels.linkadaptation.LinkAdaptation`."""
    contract = Contract(model, "channels.linkadaptation.LinkAdaptation")
    contract.options(1)
    snr = np.linspace(0.0, 1000.0, 501)
    rate = contract.floats(2, "efficiency() of [501] SNRs", lambda: model.efficiency(snr), (501,))
    contract.floats(2, "efficiency() of [2, 3] SNRs", lambda: model.efficiency(np.ones((2, 3))), (2, 3))
    contract.holds(2, rate[0] == 0.0, f"efficiency(0) is {rate[0]:.4g}, not 0")
    contract.holds(2, (np.diff(rate) >= 0).all(), "efficiency() falls somewhere")
    contract.holds(3, np.array_equal(model.efficiency(snr), rate), "the same question twice gave two answers")
    for bad in NOT_A_PLACE_OR_TIME:
        contract.refuses(3, f"a SNR of {bad}", partial(model.efficiency, [1.0, bad]))
        contract.refuses(6, f"an efficiency of {bad}", partial(model.snr_for, [1.0, bad]))
    contract.card(4)
    for direction in ("up", "down"):
        _check_inverse(contract, model, direction)
    met = contract.ask(8, "always_met", lambda: model.always_met)
    contract.holds(8, isinstance(met, bool), f"always_met is {met!r:.60}, neither True nor False")


def _check_inverse(contract: Contract, model: LinkAdaptation, direction: Direction) -> None:
    """`snr_for` and `plan` against `efficiency`."""
    most = float(model.efficiency(1e9, direction))
    wanted = np.linspace(0.0, 0.999 * most, 41)
    snr = contract.floats(6, "snr_for() of 41 efficiencies", lambda: model.snr_for(wanted, direction), (41,))
    contract.holds(6, snr[0] == 0.0, f"snr_for(0) is {snr[0]:.4g}, not 0")
    enough = model.efficiency(snr, direction) >= wanted * (1.0 - INVERSE)
    contract.holds(6, enough.all(), "the SNR from snr_for() does not carry what it was asked for")
    less = model.efficiency(snr[1:] * (1.0 - INVERSE), direction)
    contract.holds(6, (less < wanted[1:]).all(), "a smaller SNR than that from snr_for() would do")
    plan = contract.ask(7, "plan()", lambda: model.plan(direction))
    fine = isinstance(plan, Plan) and 0.0 < plan.scale < np.inf and 1.0 <= plan.gap < np.inf and plan.cap > 0.0
    contract.holds(7, fine, f"plan() gives {plan!r:.60}, not a Plan with scale and cap above 0 and a gap of at least 1")
    endless = plan.cap == np.inf and plan.scale != 1.0
    contract.holds(7, not endless, "plan() has a scale and no cap")
