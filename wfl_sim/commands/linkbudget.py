"""`wfl-sim linkbudget`: the link budget of a scenario as tables, CSV, JSON and a picture.

Knows how a report is shown, and no formula of it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfl_sim.commands.common import Format, Overrides, ScenarioFile, bold, errors_as, load, print_json
from wfl_sim.errors import Problem, RunFailed, ScenarioError

if TYPE_CHECKING:
    from wfl_sim.linkbudget import GroupUpdates, Report
    from wfl_sim.scenario import Study
    from wfl_sim.steploads import StepLoads

MOST_SHOWN = 20  # clients in the table for people
PICTURES = (".png", ".svg", ".pdf")
POINTS = 200  # of each curve in the picture


class Shape(StrEnum):
    """How the tables come."""

    table = "table"
    csv = "csv"
    json = "json"


class Tables(StrEnum):
    """Which tables come."""

    both = "both"
    budget = "budget"
    updates = "updates"


def linkbudget(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    arm: Annotated[str | None, typer.Option(help="Arm; default: the first that trains and sends adapters.")] = None,
    at: Annotated[
        str | None, typer.Option(help="Distances instead of the clients', for example '100 m, 500 m, 2 km'.")
    ] = None,
    show: Annotated[Tables, typer.Option(help="Which tables; CSV takes one, by default updates.")] = Tables.both,
    shape: Annotated[Shape, typer.Option("--format", help="For people, or for programs.")] = Shape.table,
    plot: Annotated[Path | None, typer.Option(help="Draw the budget into this file (PNG, SVG or PDF).")] = None,
) -> None:
    """Work out the link budget, and what the link carries.

    Uplink and downlink row by row in the order of ITU-R M.2412, range included; then what each client can upload
    before the deadline: payload, largest LoRA rank, largest kept fraction, seconds and joules. Nothing is run.

    Example: wfl-sim linkbudget quickstart link_budget.deadline='2 s'
    """
    from wfl_sim.diagnose import nearest
    from wfl_sim.linkbudget import report

    with errors_as(Format.json if shape is Shape.json else Format.text):
        distances = None if at is None else _distances(at)
        study = load(scenario, overrides, resources=False)
        known = list(dict.fromkeys(cell.arm for cell in study.cells))
        if arm is not None and arm not in known:
            rule = f"arms: {', '.join(known)}"
            raise ScenarioError(
                Problem(f"command line: --arm {arm}", "", "unknown arm", near=nearest(arm, known), rule=rule)
            )
        found = report(study, arm, distances)
        if plot is not None:
            _draw(found, study, plot)
    if shape is Shape.json:
        print_json(as_dict(found, show))
    elif shape is Shape.csv:
        rows = budget_records(found) if show is Tables.budget else update_records(found)
        typer.echo(_csv(rows), nl=False)
    else:
        typer.echo(text(found, show))


def _distances(written: str) -> list[float]:
    """Distances separated by commas; metres may be left out."""
    from channels.units import parse, shown

    def wrong(part: str) -> ScenarioError:
        rule = "distances of at least 0 m, separated by commas"
        return ScenarioError(Problem("command line: --at", "", f"needs distances; got {shown(part)}", rule=rule,
                                     example="--at '100 m, 500 m, 2 km'"))  # fmt: skip

    distances = []
    for part in (word.strip() for word in written.split(",")):
        try:
            value = parse(part if any(c.isalpha() for c in part) else f"{part} m", "m")
        except ValueError:
            raise wrong(part) from None
        if not 0.0 <= value < math.inf:
            raise wrong(part)
        distances.append(value)
    return distances


def _draw(found: Report, study: Study, path: Path) -> None:
    import numpy as np

    from analysis.budget import link_budget_figure
    from wfl_sim.linkbudget import report

    if path.suffix not in PICTURES or path.is_dir() or not path.parent.is_dir():
        fault = (
            f"no such folder: {path.parent}" if path.suffix in PICTURES else f"ends in none of {', '.join(PICTURES)}"
        )
        fault = "is a folder" if path.is_dir() else fault
        raise ScenarioError(Problem(f"command line: --plot {path}", "", fault, example="--plot budget.png"))
    updates = found.updates
    furthest_m = max(1.2 * updates.distance_m.max(initial=0.0), *(
        1.5 * reach.range_m for reach in found.reaches.values() if reach.range_m < 1e8
    ), 10.0)  # fmt: skip
    nearest_m = min(max(updates.distance_m.min(initial=np.inf), 1.0), 0.05 * furthest_m)
    curves = report(study, found.arm, np.geomspace(nearest_m, furthest_m, POINTS).tolist()).updates
    try:
        link_budget_figure(found, curves).savefig(path)
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror}") from None
    typer.echo(f"picture  {path}", err=True)


def budget_records(found: Report) -> list[dict[str, Any]]:
    """One record a row of the budget, with the value in each direction."""
    up, down = (found.budgets[direction].rows() for direction in ("uplink", "downlink"))
    records = [
        {"row": a.number, "name": a.name, "uplink": a.value, "downlink": b.value, "unit": a.unit}
        for a, b in zip(up, down, strict=True)
    ]
    reaches = found.reaches["uplink"], found.reaches["downlink"]
    for name, field, unit in (("range", "range_m", "m"), ("path loss exponent there", "exponent", ""),
                              ("rate there, by radio.rate", "rate_bps", "bit/s")):  # fmt: skip
        a, b = (getattr(reach, field) for reach in reaches)
        records.append({"row": "30" if name == "range" else "", "name": name, "uplink": a, "downlink": b, "unit": unit})
    return records


def update_records(found: Report) -> list[dict[str, Any]]:
    """One record a client or distance."""
    updates, records = found.updates, []
    for k in range(updates.distance_m.size):
        record: dict[str, Any] = {} if updates.client is None else {"client": updates.client[k]}
        if updates.client is not None and found.groups:
            record["group"] = next(own.name for own in found.groups if updates.client[k] in own.clients)
        for name in ("distance_m", "path_loss_db", "snr_db", "rate_bps", "download_rate_bps", "download_s", "air_s"):
            record[name] = float(getattr(updates, name)[k])
        record["bits"] = int(updates.bits[k])
        record["rank"] = None if updates.rank is None else int(updates.rank[k])
        for name in ("kept_fraction", "upload_s", "energy_j"):
            record[name] = float(getattr(updates, name)[k])
        records.append(record | _step_record(found, k))
    return records


def _step_record(found: Report, k: int) -> dict[str, Any]:
    """What split training adds: one way of a step in its largest coding, and the adapters."""
    steps = found.steps
    if steps is None:
        return {}
    return {
        "layers": int(steps.cut[k]),
        "step_bits": steps.way_bits[steps.coding],
        "activations_s": float(steps.activations_s[k]),
        "gradient_s": float(steps.gradient_s[k]),
        "adapters_bits": int(steps.adapters_bits[k]),
        "adapters_s": float(steps.adapters_s[k]),
    }


def as_dict(found: Report, show: Tables = Tables.both) -> dict[str, Any]:
    """Everything for JSON."""
    plain: dict[str, Any] = {
        name: getattr(found, name)
        for name in (
            "name",
            "arm",
            "seed",
            "reliability",
            "of",
            "margin_stated",
            "deadline_s",
            "compute_s",
            "latency_s",
            "dense_bits",
        )
    }
    if show is not Tables.updates:
        plain["budget"] = budget_records(found)
    if show is not Tables.budget:
        plain["updates"] = update_records(found)
        plain["groups"] = [
            {
                "name": own.name,
                "first_client": own.clients.start,
                "clients": len(own.clients),
                "rank": own.rank,
                "dense_bits": own.dense_bits,
                "in_time": own.in_time,
            }
            for own in found.groups
        ]
    return plain | {"notes": list(found.notes)}


def text(found: Report, show: Tables = Tables.both) -> str:
    """The tables for people."""
    where = "at the edge of the cell" if found.of == "edge" else "over the area of the cell"
    reliability = "shadow margin as stated" if found.margin_stated else f"reliability {found.reliability:.4g} {where}"
    lines = [
        bold(f"Link budget of {found.name}, arm {found.arm}, seed {found.seed}"),
        f"{reliability}; deadline {_seconds(found.deadline_s)}, of which computing and "
        f"latency take {_seconds(found.compute_s + found.latency_s)}",
    ]
    if show is not Tables.updates:
        lines += ["", *_budget_lines(found)]
    if show is not Tables.budget:
        lines += ["", *_update_lines(found)]
    if found.notes:
        lines += ["", *(f"note: {note}" for note in found.notes)]
    return "\n".join(lines)


def _budget_lines(found: Report) -> Iterator[str]:
    yield bold(f"{'row':6}{'':32}{'uplink':>16}{'downlink':>16}")
    for record in budget_records(found):
        values = "".join(f"{_value(record[d], record['unit']):>16}" for d in ("uplink", "downlink"))
        yield f"{record['row']:6}{record['name']:32}{values}"


def _update_lines(found: Report) -> Iterator[str]:
    from wfl_sim.present import table

    updates, records = found.updates, update_records(found)
    named, count = updates.client is not None, len(records)
    shown = records
    if named:  # distances stay as they were asked for
        shown = sorted(records, key=lambda record: -float(record["snr_db"]))
        if count > MOST_SHOWN:
            shown = [shown[round(n * (count - 1) / (MOST_SHOWN - 1))] for n in range(MOST_SHOWN)]
    what = "client" if named else "distance"
    sure = "with the margin stated" if found.margin_stated else f"with reliability {found.reliability:.4g}"
    yield bold(f"Update budget: what fits before the deadline, {sure}, at each {what}")
    least = "kept" if found.steps is None else "coding"
    head = ["distance", "loss", "SNR", "rate", "download", "left to send", "payload", "rank", least,
            "whole update", "energy"]  # fmt: skip
    first = ["client", "group"] if found.groups else ["client"]
    yield from table([*first, *head] if named else head, [_cells(record, found.steps) for record in shown])
    if len(shown) < count:
        yield f"{len(shown)} of {count} clients, from the strongest link to the weakest; --format csv lists all"
    largest = ", in the group where it is largest" if found.groups else ""
    largest = ", with the most layers of any client" if found.steps is not None else largest
    takes = f"A whole update of arm {found.arm} takes {_bits(found.dense_bits)}{largest}."
    yield f"{takes} Losses are those of path and walls."
    if found.groups:
        yield from ("", bold("Whole updates of each group of clients (learning.groups)"))
        yield from table(
            ["group", "clients", "rank", "whole update", "in time"], [_group_cells(own) for own in found.groups]
        )
    if found.steps is not None:
        yield from _step_lines(found.steps, shown, named)


def _group_cells(own: GroupUpdates) -> list[str]:
    last = own.clients.stop - 1
    return [
        own.name, f"{own.clients.start} to {last}" if last > own.clients.start else f"{last}",
        "-" if own.rank is None else str(own.rank), _bits(own.dense_bits),
        "-" if own.in_time is None else f"{own.in_time} of {len(own.clients)}",
    ]  # fmt: skip


def _step_lines(steps: StepLoads, shown: list[dict[str, Any]], named: bool) -> Iterator[str]:
    """What a step of split training and the adapters take."""
    from wfl_sim.present import table

    yield ""
    yield bold(f"Split training: {steps.steps} steps a round with activations and gradients as {steps.coding}")
    where = ["client", "distance"] if named else ["distance"]
    rows = [
        [
            *([str(record["client"])] if named else []), _metres(record["distance_m"]), record["layers"],
            _bits(record["step_bits"]), _seconds(record["activations_s"]), _seconds(record["gradient_s"]),
            _bits(record["adapters_bits"]), _seconds(record["adapters_s"]),
        ]
        for record in shown
    ]  # fmt: skip
    yield from table([*where, "layers", "step", "activations up", "gradient down", "adapters", "adapters up"], rows)
    each = ", ".join(f"{_bits(bits)} as {name}" for name, bits in steps.way_bits.items())
    yield f"One way of a step takes at most {each}; each gradient has the whole downlink."


def _cells(record: dict[str, Any], steps: StepLoads | None = None) -> list[str]:
    from wfl_sim.methods.split import coding_of

    kept = record["kept_fraction"]
    least = f"{kept:.3g}" if steps is None else coding_of(kept) or "none"
    client = [str(record[name]) for name in ("client", "group") if name in record]
    return [
        *client, _metres(record["distance_m"]), f"{record['path_loss_db']:.1f} dB", f"{record['snr_db']:.1f} dB",
        _rate(record["rate_bps"]), _seconds(record["download_s"]), _seconds(record["air_s"]), _bits(record["bits"]),
        "-" if record["rank"] is None else str(record["rank"]), least,
        _seconds(record["upload_s"]), _joules(record["energy_j"]),
    ]  # fmt: skip


def _value(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return "none" if value < 0 else "no limit"
    if unit == "Hz":
        return f"{value / 1e3:,.0f} kHz" if value < 1e7 else f"{value / 1e6:,.0f} MHz"
    if unit == "m":
        return _metres(value)
    if unit == "bit/s":
        return _rate(value)
    return f"{value:.0f}" if value == round(value) and not unit else f"{value:.1f} {unit}".strip()


def _metres(value: float) -> str:
    return f"{value:.0f} m" if value < 1e4 else f"{value / 1e3:.4g} km"


def _rate(value: float) -> str:
    for scale, symbol in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g} {symbol}bit/s"
    return f"{value:.3g} bit/s" if value >= 0.01 else "0 bit/s"


def _bits(value: float) -> str:
    if value < 1e4:
        return f"{value:.0f} bit"
    return f"{value / 1e6:.2f} Mbit" if value >= 1e6 else f"{value / 1e3:.0f} kbit"


def _seconds(value: float) -> str:
    if value > 1e6:
        return "never"
    if value >= 1e4:
        return f"{value:.2e} s"
    return f"{value * 1e3:.0f} ms" if value < 0.0995 else f"{value:.3g} s"


def _joules(value: float) -> str:
    return f"{value:.3g} J" if value < 1e6 else "-"


def _csv(records: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    if records:
        writer = csv.DictWriter(stream, records[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return stream.getvalue()
