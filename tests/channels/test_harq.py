from __future__ import annotations

import numpy as np
import pytest

from channels.bler import CQI_TABLE_1, FiniteBlocklength, Outage, Scheme
from channels.cqi import Cqi
from channels.esm import beta_of
from channels.fading import Rayleigh
from channels.harq import (
    LARGEST_OFFSET_DB,
    Block,
    BlockLink,
    LinkState,
    chase_outage,
    effective,
    repetition_law,
)
from channels.streams import Stream
from channels.vectors import ATTEMPTS, HARQ

FOUR_DECIMALS = 5.1e-5
MEAN_SNR, EFFICIENCY, ROUNDS = 10.0, 2.0, 4
SIGMAS = 4.5  # of a Monte Carlo mean: a right one fails once in 150 000


def run(link, snr, draws, *, known=None, symbols=None, state=None, wanted=np.inf):
    snr = np.atleast_3d(snr) if snr.ndim == 3 else snr[..., None]
    known = snr if known is None else known[..., None]
    length = np.ones(snr.shape[1]) if symbols is None else symbols
    return link.carry(state or LinkState(), known, snr, length, draws, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("combining", HARQ)
def test_outage_and_throughput_over_independent_rayleigh_rounds(combining):
    slots = 200_000
    stream = Stream.root(11)
    snr = MEAN_SNR * stream.child("fading").exponential([0], np.arange(slots))[None]
    link = BlockLink(Outage(), ROUNDS, combining, (Scheme(1, 2, 1.0),))
    passage = run(link, snr, stream.uniform([[0]], np.arange(slots)[None]))
    ends = np.flatnonzero(passage.bits)
    rounds, lost = np.diff(np.concatenate([[-1], ends])), passage.lost[0, ends]
    mean_rounds, throughput, outage = HARQ[combining]
    for m, expected in enumerate(outage, start=1):
        share = ((rounds > m) | ((rounds == m) & lost)).mean()
        assert share == pytest.approx(expected, abs=FOUR_DECIMALS + SIGMAS * np.sqrt(expected / ends.size))
    assert rounds.mean() == pytest.approx(mean_rounds, abs=SIGMAS * rounds.std() / np.sqrt(ends.size))
    passed = passage.bits[ends] * ~lost
    assert passed.sum() / slots == pytest.approx(throughput, rel=SIGMAS / np.sqrt(ends.size))


def test_closed_forms():
    outage = chase_outage(EFFICIENCY, MEAN_SNR, [1, 2, 3, 4])
    assert outage == pytest.approx(HARQ["chase"][2], abs=FOUR_DECIMALS)
    assert outage[0] == pytest.approx(1 - np.exp(-0.3), rel=1e-12)
    rounds, share = repetition_law(outage)
    assert (rounds, EFFICIENCY * share) == pytest.approx(HARQ["chase"][:2], abs=FOUR_DECIMALS)
    # ARQ: mean transmissions (1 - p^M) / (1 - p) = 1.1110 and 1.8750, and a share 1 - p gets through
    for p, attempts, _, mean in ATTEMPTS:
        got, through = repetition_law(p ** np.arange(1.0, attempts + 1.0))
        assert got == pytest.approx(mean, abs=FOUR_DECIMALS) and through == pytest.approx(1 - p, rel=1e-12)


def test_one_draw_decides_all_rounds():
    """Rounds at a constant SNR: the block ends in the first round whose error is at most its draw."""
    scheme, model, snr = CQI_TABLE_1[5], FiniteBlocklength(), 1.1
    errors = [float(model.error(scheme, snr * m, 60.0)) for m in (1, 2, 3)]
    assert errors[0] > errors[1] + 0.2 > 0.2  # else there is nothing to tell
    draws = (np.arange(999) + 0.5) / 999
    ended = np.zeros(999, dtype=int)
    for i, draw in enumerate(draws):
        link = BlockLink(model, 3, "chase", (scheme,))
        passage = run(link, np.full((1, 3), snr), np.full((1, 3), draw), symbols=np.full(3, 60.0), wanted=1.0)
        ended[i] = 4 if passage.lost[0, -1] else passage.bits.size
    for m, error in enumerate(errors, start=1):
        assert (ended > m).mean() == pytest.approx(error, abs=1.01 / 999)


def test_a_round_that_brings_nothing_makes_nothing_worse():
    link = BlockLink(FiniteBlocklength(), 3, "incremental", (CQI_TABLE_1[3],))
    begun = Block(0, 200.0, np.array([0.5]), (np.array([1.0]),), np.array([0.3]))
    assert link._repeat(begun, np.array([0.0])).error[0] <= 0.3


@pytest.mark.parametrize("target", [0.1, 0.3])
@pytest.mark.parametrize("delay", [1, 6])
def test_the_outer_loop_keeps_the_target(target, delay):
    slots, stream = 40_000, Stream.root(5)
    gain = Rayleigh().power_gain(stream, [0], np.arange(slots) * 1e-3, 20.0)
    snr = 10.0 * gain
    known = np.concatenate([snr[:, :delay], snr[:, :-delay]], axis=1)
    draws = stream.uniform([[0]], np.arange(slots)[None])
    link = BlockLink.of(Cqi(target=target), 4, "incremental")
    passage = run(link, snr, draws, known=known, symbols=np.full(slots, 300.0))
    sent = passage.sent > 0
    # the offset moves by step (target - share lost) / (1 - target) a block and is bounded by 20 dB
    bound = 2 * LARGEST_OFFSET_DB * (1 - target) / (0.5 * sent.sum())
    assert passage.failed[sent].mean() == pytest.approx(target, abs=bound)
    assert np.abs(passage.offset_db).max() < LARGEST_OFFSET_DB
    without = run(BlockLink.of(Cqi(target=target, outer_loop=False), 4, "incremental"), snr, draws, known=known,
                  symbols=np.full(slots, 300.0))  # fmt: skip
    if delay == 6:
        assert abs(without.failed[without.sent > 0].mean() - target) > 0.05
    assert not without.offset_db.any()


def test_below_the_first_cqi_nothing_is_sent_and_no_offset_silences_a_link():
    link = BlockLink.of(Cqi(), 1, "chase")
    weakest = 10 ** (link.thresholds.snr_db([500.0])[0, 0] / 10)
    snr = np.array([[0.999 * weakest, 1.001 * weakest]])
    passage = run(link, snr, np.zeros((1, 2)), symbols=np.full(2, 500.0), state=LinkState(-LARGEST_OFFSET_DB))
    assert passage.sent.tolist() == [0.0, CQI_TABLE_1[0].efficiency]
    assert passage.offset_db.tolist() == [-LARGEST_OFFSET_DB] * 2  # the first slot moves nothing, the second is bounded
    assert passage.bits[0] == 0.0 and passage.lost.tolist() == [[False, True]]


@pytest.mark.parametrize("combining", ["chase", "incremental"])
def test_a_run_may_be_split_anywhere(combining):
    slots, stream = 600, Stream.root(3)
    snr = 3.0 * stream.exponential(np.arange(2)[:, None], np.arange(slots))
    draws = stream.child("draws").uniform(np.arange(2)[:, None], np.arange(slots))
    known, symbols = np.roll(snr, 3, axis=1), np.full(slots, 80.0)
    symbols[::7] = 33.0
    link = BlockLink.of(Cqi(target=0.4), 2, combining)
    whole = run(link, snr, draws, known=known, symbols=symbols)
    state, parts = LinkState(), []
    for cut in np.split(np.arange(slots), [1, 2, 5, 100, 101, 350]):
        parts.append(run(link, snr[:, cut], draws[:, cut], known=known[:, cut], symbols=symbols[cut], state=state))
        state = parts[-1].state
    assert whole.lost.any() and (whole.bits == 0).any()
    np.testing.assert_array_equal(np.concatenate([p.bits for p in parts]), whole.bits)
    np.testing.assert_array_equal(np.concatenate([p.lost for p in parts], axis=1), whole.lost)
    np.testing.assert_array_equal(np.concatenate([p.offset_db for p in parts]), whole.offset_db)


def test_a_broadcast_is_sent_at_the_weakest_and_repeated_until_all_have_it():
    link = BlockLink(Outage(), 3, "chase", (Scheme(1, 2, 1.0),))  # needs an SNR of 3
    snr = np.array([[5.0, 5.0, 5.0, 5.0], [2.0, 2.0, 0.5, 0.5], [1.0, 0.5, 0.5, 5.0]])
    passage = run(link, snr, np.full((3, 4), 0.5))
    assert passage.bits.tolist() == [0.0, 0.0, 2.0, 0.0]  # the third lacks it after three rounds
    assert passage.lost.T.tolist() == [[False] * 3, [False] * 3, [False, False, True], [False] * 3]
    adapted = BlockLink.of(Cqi(bler=Outage(), outer_loop=False), 1, "chase")
    edges = 2.0 ** np.array([s.efficiency for s in CQI_TABLE_1]) - 1
    passage = run(adapted, np.array([[edges[9] * 1.01], [edges[4] * 1.01]]), np.full((2, 1), 0.5))
    assert passage.sent[0] == CQI_TABLE_1[4].efficiency and passage.bits[0] > 0


def test_a_run_ends_with_the_slot_that_brings_what_is_wanted():
    link = BlockLink(Outage(), 1, "chase", (Scheme(1, 2, 1.0),))
    passage = run(link, np.full((1, 9), 9.0), np.full((1, 9), 0.5), wanted=6.0)
    assert passage.bits.tolist() == [2.0, 2.0, 2.0] and passage.lost.shape == (1, 3)


def test_a_selective_band_counts_by_its_effective_snr():
    band = np.array([[[1.0, 7.0], [4.0, 4.0]]])
    for scheme in (CQI_TABLE_1[0], CQI_TABLE_1[7], CQI_TABLE_1[14]):
        beta = beta_of(scheme.modulation_order, scheme.code_rate)
        mean = -beta * np.log(0.5 * (np.exp(-1.0 / beta) + np.exp(-7.0 / beta)))
        np.testing.assert_allclose(effective(band, scheme), [[mean, 4.0]], rtol=1e-12)
    link = BlockLink.of(Cqi(bler=Outage(), outer_loop=False), 1, "chase")
    passage = link.carry(LinkState(), band, band, np.ones(2), np.full((1, 2), 0.5))
    # 4 carries lg2 5 = 2.32 bit: CQI 8 (1.914). Where 16QAM sees 1 and 7, beta 5.2 makes them 3.2 and lg2 4.2 = 2.07
    # bit; QPSK with its beta of 1.8 sees 2.2 alone.
    assert passage.sent.tolist() == [CQI_TABLE_1[7].efficiency] * 2 and not passage.lost.any()
    assert effective(band, CQI_TABLE_1[5])[0, 0] < 2.3 < 3.0 < effective(band, CQI_TABLE_1[7])[0, 0]


@pytest.mark.parametrize(("arguments", "says"), [
    ((2, -1, [1]), "a mean SNR must be finite and above 0; got -1"),
    ((2, 0, [1]), "a mean SNR must be finite and above 0; got 0"),
    ((np.nan, 1, [1]), "an efficiency must be finite and at least 0; got nan"),
    ((2, 1, [0]), "rounds must be whole numbers of at least 1; got [0]"),
    ((2, 1, [1.5]), "rounds must be whole numbers of at least 1; got [1.5]"),
])  # fmt: skip
def test_an_outage_of_nothing_is_refused(arguments, says):
    with pytest.raises(ValueError) as caught:
        chase_outage(*arguments)
    assert str(caught.value) == says


@pytest.mark.parametrize(("failures", "says"), [
    ([], "failures must be a list of one or more probabilities; got shape (0,)"),
    (0.5, "failures must be a list of one or more probabilities; got shape ()"),
    ([2, 3], "a probability must be at most 1; got 3.0"),
    ([-0.1], "a probability must be finite and at least 0; got -0.1"),
])  # fmt: skip
def test_shares_that_are_none_are_refused(failures, says):
    with pytest.raises(ValueError) as caught:
        repetition_law(failures)
    assert str(caught.value) == says
