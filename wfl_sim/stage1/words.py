"""A plan in words, for a network engineer who knows no LoRA.

Knows plans by their fields; neither how one is made, nor where the words go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from textwrap import wrap
from typing import Any

from wfl_sim.present import table
from wfl_sim.schedules.tsfa import TSFA
from wfl_sim.stage1.advice import OVERRUN
from wfl_sim.stage1.budget import is_met
from wfl_sim.stage1.choice import Candidate
from wfl_sim.stage1.command import command
from wfl_sim.stage1.report import Planned

WIDTH = 100
MOST_OF_256_QAM = 7.4  # bit/s/Hz, at the highest code rate of TS 38.214, table 5.2.2.1-3: 8 x 948 / 1024
WHOLE = 0.995  # of an update: told as a whole one


def text(
    planned: Planned, scenario: str, overrides: Sequence[str] = (), heading: Callable[[str], str] = str
) -> Iterator[str]:
    """The plan, line by line; `scenario` and `overrides` as they were given, for the command to run it."""
    yield heading(f"Plan of {planned.name}, arm {planned.arm}, seed {planned.seed}")
    yield ""
    yield heading(_recommended(planned))
    yield from _wrapped(_verdict(planned))
    yield from _wrapped(_caution(planned))
    yield from _wrapped(_cost(planned))
    for note in planned.notes:
        yield from wrap(f"note: {note}", WIDTH, subsequent_indent="      ")
    yield ""
    yield heading("What is sent")
    yield from _wrapped(_glossary(planned))
    yield from _wrapped(_who_binds(planned))
    yield ""
    yield heading(f"The ranks, with {_whose(planned)} of {_seconds(planned.selection.latency_budget_s)}")
    yield from _ranks(planned, heading)
    yield ""
    yield heading(f"Latency budgets for rank {planned.advice.rank}")
    yield from _budgets(planned, heading)
    yield ""
    yield heading(f"V {planned.advice.v:g}")
    yield from _wrapped(_queue(planned))
    yield ""
    yield heading("To run it")
    yield from command(planned, scenario, overrides)


def _recommended(planned: Planned) -> str:
    advice = planned.advice
    settings = f"rank {advice.rank}, latency budget {_seconds(advice.latency_budget_s)}, V {advice.v:g}"
    if planned.selection.rank is not None:
        return f"Take {settings}."
    whose = "the largest candidate that fits"
    if advice.rank == planned.written_rank:
        whose = {
            "file": "which the scenario states",
            "grid": "that of the point of the grid which is planned",
            "default": f"the default of method {planned.scenario.method.kind}",
        }[planned.rank_from]
    return f"For rank {advice.rank}, {whose}: {settings.partition(', ')[2]}."


def _verdict(planned: Planned) -> str:
    """What the latency budget recommended is worth, and that of the scenario beside it."""
    paces, row, stated = planned.paces, planned.chosen, planned.stated
    size = "a whole update" if row.kept_fraction > WHOLE else f"{row.kept_fraction:.0%} of an update"
    said = f"{_seconds(planned.advice.latency_budget_s)} carry {size} ({_bits(row.bits)}) from the mean client"
    if paces.kept.size == 1:
        said += ", and nothing smaller can be sent."
    elif paces.measured:
        said += "; by the pilot, no other budget carries more of what is learnt in a second."
    elif planned.selection.by == "pilot":
        said += _simulated(planned)
    else:
        said += (
            ". Without a pilot nobody knows what the pieces left out are worth, but this budget is sure of "
            f"{paces.of(planned.advice.latency_budget_s):.0%} of the best pace, in learnt per second."
        )
    if stated is None:
        return f"{said} The scenario has no latency budget."
    if stated.latency_budget_s == planned.advice.latency_budget_s:
        return f"{said} It is the scenario's own."
    own = planned.selection.rank
    other = "" if own in (None, row.rank) else f" With that, rank {own} is best."
    return f"{said} {_stated(planned)}{other}"


def _cost(planned: Planned) -> str:
    cost = planned.cost
    broadcast = planned.scenario.radio.downlink.access == "broadcast"
    return (
        f"As `wfl-sim validate` plans it, a round takes {_bits(cost.uplink_bits)} up from {_clients(cost.clients)}, "
        f"{_bits(cost.downlink_bits)} down {'in one broadcast' if broadcast else 'to them'}, and "
        f"{_seconds(cost.round_s)} in the mean; {cost.rounds} round{'s' * (cost.rounds > 1)}, {_seconds(cost.run_s)}."
    )


def _clients(count: float) -> str:
    return "1 client" if count == 1 else f"{count:.3g} clients"


def _caution(planned: Planned) -> str:
    """How far to trust the rank that ``tail`` prefers."""
    if planned.selection.by != "tail" or sum(row.fits for row in planned.selection.candidates) < 2:
        return ""
    later = ", though error feedback sends it later" if getattr(planned.scenario.codec, "error_feedback", 0.0) else ""
    return (
        f"The prediction leans to small ranks: what is left out counts as lost{later}. Ranks may differ little in a "
        "run; --by pilot compares them."
    )


def _simulated(planned: Planned) -> str:
    """What short runs, which had one latency budget, leave open of others."""
    paces, budget_s = planned.paces, planned.advice.latency_budget_s
    surest_s, worth = paces.recommended_s, f"{paces.of(budget_s):.0%} of the best pace, in learnt per second"
    said = "; the ranks were simulated with this budget. Of others that says nothing: by links, "
    if surest_s == budget_s:
        return f"{said}this one is the surest ({worth})."
    return f"{said}this one is sure of {worth}, and {_seconds(surest_s)} of {paces.of(surest_s):.0%}."


def _stated(planned: Planned) -> str:
    """What the latency budget of the scenario is worth."""
    paces, stated = planned.paces, planned.stated
    assert stated is not None
    said = f"The scenario's {_seconds(stated.latency_budget_s)}"
    worth = f"{stated.pace:.0%} of that pace" if paces.measured else f"sure of {stated.pace:.0%}"
    if stated.verdict == "impossible":
        return f"{said} cannot be met: a round of the smallest updates of this rank takes {_seconds(paces.least_s)}."
    if stated.verdict == "ok":
        return f"{said} are about as good: {worth}."
    if stated.verdict == "too tight":
        return f"{said} are too tight: {worth}, as too much of a round goes by before anything is sent."
    if stated.latency_budget_s > paces.whole_s:
        return f"{said} are generous: whole updates of all clients take {_seconds(paces.whole_s)}."
    return f"{said} are generous: {worth}, as the last pieces sent cost more time than they may be worth."


def _glossary(planned: Planned) -> str:
    advice, asked = planned.advice, planned.asked
    who = "one client downloads the model, computes, and uploads"
    if asked > 1:
        who = f"{asked} clients download the model, compute, and upload"
    return (
        f"In each round {who} an update over one shared uplink. An update is a fixed part of "
        f"{_bits(planned.fixed_bits)} (the task's own layer) and, for each adapted layer of the model, as many pieces "
        "as the rank says: a larger rank can learn more, and has more to send. The kept fraction is the share of the "
        "pieces that is sent, the most important ones. The latency budget is the mean time of a round that the "
        f"schedule tsfa keeps to. Of {_seconds(advice.latency_budget_s)} download, computing and latency take "
        f"{_seconds(advice.fixed_s)} at rank {advice.rank}, and an update of {_bits(advice.wire_bits)}, headers of "
        f"packets included, {_seconds(advice.wire_bits / advice.rate_bps)}, at the {_rate(advice.rate_bps)} that the "
        "mean client gets in an even share of the uplink."
    )


def _who_binds(planned: Planned) -> str:
    advice = planned.advice
    if advice.capped:
        return (
            f"Links are alike: all clients get {_rate(advice.median_bps)} in an even share of the band, the most that "
            f"radio.rate {planned.scenario.radio.rate.kind} carries there, so the band binds, and no client."
        )
    clients = "; ".join(
        f"client {weak.client} at {weak.distance_m:.0f} m, {_rate(weak.rate_bps)}, {weak.kept_fraction:.0%}"
        for weak in advice.weak
    )
    return (
        "The weakest by rate (distance at the start, rate in an even share, share of an update of rank "
        f"{advice.rank} that it carries in {_seconds(advice.latency_budget_s)}): {clients}. "
        f"The median client has {_rate(advice.median_bps)}{_per_hertz(planned)}."
    )


def _per_hertz(planned: Planned) -> str:
    """What the median client gets of each hertz, where that is more than modems carry."""
    efficiency = planned.advice.median_efficiency
    if efficiency <= MOST_OF_256_QAM:
        return ""
    return (
        f", {efficiency:.1f} bit/s/Hz by radio.rate {planned.scenario.radio.rate.kind}: 256-QAM carries "
        f"{MOST_OF_256_QAM} at most, as the rate models cqi and truncated_shannon know"
    )


def _whose(planned: Planned) -> str:
    own = planned.stated is not None and planned.stated.latency_budget_s == planned.selection.latency_budget_s
    return "the scenario's latency budget" if own else "a latency budget"


def _ranks(planned: Planned, heading: Callable[[str], str]) -> Iterator[str]:
    budget_s, by = planned.selection.latency_budget_s, planned.selection.by
    names = ["rank", "whole update", "kept", "sent", "round", "shortest"]
    names += {
        "tail": ["lost to: rank", "averaging", "leaving out", "error"],
        "pilot": ["simulated: rounds", "round", "kept", "loss", "accuracy"],
    }.get(by, [])
    head, *rows = table([*names, ""], [_cells(planned, row) for row in planned.selection.candidates])
    yield heading(head.rstrip())
    yield from (row.rstrip() for row in rows)
    said = (
        "kept, sent: what the mean client's link carries in the budget. round: its mean time; weak links send less, "
        "strong ones more. shortest: a round in which all send the least that is allowed."
    )
    if any(not row.fits for row in planned.selection.candidates):
        said += f" Where even that is longer than {_seconds(budget_s)}, all of the row is for the least."
    yield from _wrapped(f"{said} {_of_learning(planned)}")


def _cells(planned: Planned, row: Candidate) -> list[str]:
    selection = planned.selection
    round_s = min(row.round_s, selection.latency_budget_s) if row.fits else row.least_s
    cells = [str(row.rank), _bits(row.dense_bits), f"{row.kept_fraction:.3f}", _bits(row.bits), _seconds(round_s),
             _seconds(row.least_s)]  # fmt: skip
    if selection.by == "tail":
        cells += [_number(x) for x in (row.error_of_rank, row.covariance, row.sparsification, row.error)]
    elif selection.by == "pilot":
        cells += [
            "-" if row.rounds is None else str(row.rounds),
            "-" if row.simulated_s is None else _seconds(row.simulated_s),
            *(_number(x) for x in (row.simulated_kept, row.loss, row.accuracy)),
        ]
    best = "best " if row.rank == selection.rank else ""
    return [*cells, best if row.fits else "over budget"]


def _of_learning(planned: Planned) -> str:
    by = planned.selection.by
    if by == "tail":
        return (
            "lost: shares of the energy of what a pilot learnt that so small a rank cannot hold, and that averaging "
            "the two factors of a piece separately gets wrong; and, of the energy of a round's changes, that is in the "
            "pieces left out. error: their weighted sum, no share itself, so that it may pass 1."
        )
    if by == "pilot":
        return (
            "simulated: each rank for the same time, in rounds that are planned to take the budget; the least loss on "
            "validation examples at the end is best."
        )
    return "Nothing was trained, so which rank learns best is not known; --by tail tells."


def _budgets(planned: Planned, heading: Callable[[str], str]) -> Iterator[str]:
    paces, row, stated, advice = planned.paces, planned.chosen, planned.stated, planned.advice
    budget_s = advice.latency_budget_s
    rows = [(budget_s, row.kept_fraction, row.bits, paces.of(budget_s), "recommended")]
    if stated is not None and budget_s != stated.latency_budget_s == planned.selection.latency_budget_s:
        at = planned.selection.of(advice.rank)
        if at.fits:
            rows.append((stated.latency_budget_s, at.kept_fraction, at.bits, stated.pace, "the scenario's"))
    rows += [
        (b.latency_budget_s, b.kept_fraction, b.bits, b.pace, "")
        for b in advice.budgets
        if all(f"{b.kept_fraction:.3f}" != f"{kept:.3f}" and _seconds(b.latency_budget_s) != _seconds(s)
               for s, kept, *_ in rows)
    ]  # fmt: skip
    head, *body = table(
        ["latency budget", "kept", "sent", "pace", ""],
        [[_seconds(s), f"{kept:.3f}", _bits(bits), f"{pace:.0%}", mark] for s, kept, bits, pace, mark in sorted(rows)],
    )
    yield heading(head.rstrip())
    yield from (line.rstrip() for line in body)
    if paces.measured:
        said = "pace: what arrives in a second of what was learnt, beside the budget at which that is most."
    else:
        said = (
            "pace: how much of the best pace, in learnt per second, a budget is sure to reach. A shorter one may send "
            "too little, a longer one may send what is worth little; without a pilot nobody knows which."
        )
    yield from _wrapped(f"{said} The shortest that can be met is {_seconds(paces.least_s)}.")


def _queue(planned: Planned) -> str:
    advice = planned.advice
    if is_met(advice.latency_budget_s, advice.dense_round_s):
        return (
            "Whole updates fit the budget, so the queue of time overdrawn, which V weighs against the error of what is "
            "left out, stays at 0, and V changes little."
        )
    if not advice.queue_start:
        return (
            "V weighs the error of what is left out against the queue of time overdrawn. By the pilot, a little more "
            "or less of an update changes that error by nothing here, so that they balance at a queue of 0 whatever V "
            "is, and V is left at 1."
        )
    whole = "a round" if advice.transient_rounds == 1 else f"{advice.transient_rounds} rounds"
    return (
        "V weighs the error of what is left out against the queue of time overdrawn: the larger, the steadier are kept "
        f"fractions, and the longer may the mean round be above its budget. {_limit(planned)} With queue_start "
        f"{advice.queue_start:g}, where error and time balance, it is about 0. A queue that begins at 0 would have "
        f"about {whole} of whole updates first, and the mean round up to {advice.excess:.1%} above the budget."
        f"{_stated_v(planned)}"
    )


def _stated_v(planned: Planned) -> str:
    """What the scenario's own V and start of the queue would do at the budget recommended."""
    advice, own = planned.advice, planned.scenario.schedule
    if "schedule.kind" in planned.settings or not isinstance(own, TSFA):  # it has none
        return ""
    if (own.v, own.queue_start) == (advice.v, advice.queue_start):
        return ""
    said = f" The scenario's V {own.v:g} from queue_start {own.queue_start:g}"
    if advice.stated_excess > OVERRUN:
        return f"{said} is too large: up to {advice.stated_excess:.1%} above."
    above = "not above" if advice.stated_excess < 0.0005 else f"up to {advice.stated_excess:.1%} above"
    smaller = ", though kept fractions vary more than they need to" if own.v < advice.v else ""
    return f"{said} would do: {above}{smaller}."


def _limit(planned: Planned) -> str:
    """Why V is not larger, or not smaller."""
    advice, rounds = planned.advice, planned.scenario.rounds
    during = "in one round" if rounds == 1 else f"in {rounds} rounds"
    share = f"to {OVERRUN:.0%} from wherever the queue begins"
    if advice.held == "least":
        return f"{advice.v:g} is the least that is recommended, and {during} it cannot hold this {share}."
    if advice.held == "most":
        return f"{advice.v:g} is the most that is recommended; {during} a larger one, too, would hold this {share}."
    return f"{during.capitalize()} {advice.v:g} is the largest that holds this {share}."


def _wrapped(paragraph: str) -> list[str]:
    return wrap(paragraph, WIDTH)


def _bits(bits: float) -> str:
    return f"{bits / 1e6:.2f} Mbit" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit"


def _rate(bps: float) -> str:
    return f"{bps / 1e6:.3g} Mbit/s" if bps >= 1e6 else f"{bps / 1e3:.3g} kbit/s"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 0.0995 else f"{seconds:.3g} s"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.3f}"
