"""The picture of who holds what shows every example once, from a few clients to thousands; looked at by eye besides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from analysis import plots
from analysis.groupsplot import MOST_GROUPS
from analysis.holdingsplot import MOST_COLUMNS, columns_of, holdings
from analysis.traces import Holdings, TraceError, load

SIZES = [(10, 10), (100, 10), (42, 42), (1000, 10), (1, 2), (300, 130)]


def drawn(clients: int, classes: int, seed: int = 0) -> np.ndarray:
    """Counts with many gaps, and a few large ones."""
    random = np.random.default_rng(seed)
    return (random.gamma(0.2, 60, (clients, classes)) + (np.arange(classes) == 0)).astype(int)


def write(folder: Path, synthetic: SimpleNamespace, counts: dict[str, np.ndarray]) -> Path:
    """A study with an arm for each table of counts."""
    for index, (arm, table) in enumerate(counts.items()):
        rows = iter([(synthetic.blank("rounds", round=1, t_end_s=1.0, accuracy=0.5), [], [])])
        names = [f"class {n}" for n in range(table.shape[1])]
        about = {"name": folder.name, "arm": arm, "arm_index": index, "seed": 1,
                 "data": {"holdings": {"classes": names, "counts": table.tolist()}}}  # fmt: skip
        synthetic.write_run(folder / f"{arm}-seed1", about, rows)
    return folder


@pytest.mark.parametrize(("clients", "classes"), SIZES)
def test_every_example_is_in_the_picture(
    tmp_path: Path, synthetic: SimpleNamespace, clients: int, classes: int
) -> None:
    """Mean times number of clients of a column, over all columns, is the total of a class; the bars likewise."""
    counts = drawn(clients, classes)
    traces = load(write(tmp_path / "s", synthetic, {"a": counts}))
    figure = holdings(traces, "a")
    above, cells, *bar = figure.axes
    (mesh,) = [item for item in cells.collections if isinstance(item, QuadMesh)]
    shown = np.ma.filled(mesh.get_array().reshape(classes, -1), 0.0)
    width = np.diff(mesh.get_coordinates()[0, :, 0])
    assert width.sum() == clients and shown.shape[1] == min(clients, MOST_COLUMNS)
    np.testing.assert_allclose(shown @ width, counts.sum(axis=0))
    np.testing.assert_allclose([patch.get_height() for patch in above.patches] @ width, counts.sum())
    assert f"{counts.sum():,} examples of {classes} classes at {clients:,} clients" in figure.get_suptitle()
    assert ("clients to a column" in figure.get_suptitle()) == (clients > MOST_COLUMNS)
    numbers = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in cells.texts}
    assert bool(numbers) != bool(bar)  # small tables say numbers, large ones have a scale
    for (row, column), text in numbers.items():
        assert int(text) == counts[column, row] > 0
    assert len(numbers) in (0, (counts > 0).sum())


def test_many_clients_are_sorted_by_their_commonest_class_and_few_keep_their_places() -> None:
    counts = drawn(1000, 10)
    groups = columns_of(Holdings(tuple("abcdefghij"), counts))
    order = np.concatenate(groups)
    assert sorted(order.tolist()) == list(range(1000))
    assert (np.diff(counts[order].argmax(axis=1)) >= 0).all()
    assert {len(group) for group in groups} == {8, 9}
    few = columns_of(Holdings(("a", "b"), drawn(MOST_COLUMNS, 2)))
    assert [group.tolist() for group in few] == [[client] for client in range(MOST_COLUMNS)]


def test_arms_with_one_split_share_a_picture_and_others_have_their_own(
    tmp_path: Path, synthetic: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)

    def pictures(name: str, **counts: np.ndarray) -> list[str]:
        folder = write(tmp_path / name, synthetic, counts)
        files = plots.save_all(load(folder), folder / "plots", arms=[])
        return [file.stem for file in files[::2] if file.stem.startswith("holdings")]

    one, other = drawn(4, 3), drawn(4, 3, seed=1)
    assert pictures("same", a=one, b=one) == ["holdings"]
    assert pictures("apart", a=one, b=other, c=one) == ["holdings-a-seed1", "holdings-b-seed1"]


def grouped(folder: Path, synthetic: SimpleNamespace, sizes: list[tuple[int, int]]) -> Path:
    """A run with groups of so many clients that learn so many classes."""
    each = []
    for number, (clients, classes) in enumerate(sizes):
        names = [f"class {number}.{n}" for n in range(classes)]
        held = {"classes": names, "counts": drawn(clients, classes, number).tolist()}
        each.append({"group": f"group{number}", "holdings": held})
    rows = iter([(synthetic.blank("rounds", round=1, t_end_s=1.0, accuracy=0.5), [], [])])
    about = {"name": "s", "arm": "a", "seed": 1, "data": {"groups": each}}
    return Path(synthetic.write_run(folder / "a-seed1", about, rows))


@pytest.mark.parametrize("sizes", [[(4, 10), (3, 2)], [(130, 3), (20, 30), (2, 5)]])
def test_groups_that_learn_unlike_classes_have_a_panel_each(
    tmp_path: Path, synthetic: SimpleNamespace, sizes: list[tuple[int, int]]
) -> None:
    """With all examples of each, at the clients' own numbers, which go on from group to group."""
    traces = load(grouped(tmp_path / "s", synthetic, sizes))
    figure = holdings(traces, "a")
    assert len(figure.subfigs) == len(sizes)
    first = 0
    for number, (panel, (clients, classes)) in enumerate(zip(figure.subfigs, sizes, strict=True)):
        counts, cells = drawn(clients, classes, number), panel.get_children()
        (mesh, *_) = [m for axes in cells for m in getattr(axes, "collections", ()) if isinstance(m, QuadMesh)]
        edges = mesh.get_coordinates()[0, :, 0]
        shown = np.ma.filled(mesh.get_array().reshape(classes, -1), 0.0)
        np.testing.assert_allclose(shown @ np.diff(edges), counts.sum(axis=0))
        assert edges[0] == (first if clients <= MOST_COLUMNS else 0) - 0.5
        assert panel.get_suptitle().startswith(f"group{number}: {counts.sum():,} examples of {classes} classes at ")
        first += clients
    files = plots.save_all(traces, tmp_path / "plots", arms=[])
    assert [file.name for file in files if "holdings" in file.name] == ["holdings.png", "holdings.svg"]


def test_of_many_groups_the_first_have_panels(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    figure = holdings(load(grouped(tmp_path / "s", synthetic, [(1, 2)] * (MOST_GROUPS + 1))), "a")
    assert len(figure.subfigs) == MOST_GROUPS
    assert f"the first {MOST_GROUPS} of {MOST_GROUPS + 1} groups" in figure.get_suptitle()


def test_a_run_that_does_not_say_has_no_such_picture(run_of: Callable[..., Path]) -> None:
    traces = load(run_of("a", 1, [0.5]))
    assert traces.holdings == {}
    with pytest.raises(TraceError, match=r"does not say who holds what \(data\.holdings\)"):
        holdings(traces, "a")


def test_a_table_of_the_wrong_shape_is_refused(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    run = write(tmp_path / "s", synthetic, {"a": drawn(3, 2)}) / "a-seed1"
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["data"]["holdings"]["classes"] += ["more"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TraceError, match="no table of clients by 3 classes"):
        load(run)
