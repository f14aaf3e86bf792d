"""Checks of data sets: classes, examples, their numbers, and what a manifest may tell.

Know the contract and no data set; the data have to be on this computer.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np

from channels.describe import describe, options_of
from wfl_sim.checks.contract import Contract
from wfl_sim.learning.datasets.base import DataSet, counted
from wfl_sim.learning.examples import Examples, TaskKind


def check_data_set(data: DataSet) -> None:
    """Hold a data set against `wfl_sim.learning.datasets.base.DataSet`; the data must be on this computer."""
    contract = Contract(data, "wfl_sim.learning.datasets.base.DataSet")
    contract.options(1)
    extra = [option.field for option in options_of(type(data))]
    contract.holds(1, not extra, f"a data set has no options besides its name, but there are: {', '.join(extra)}")
    contract.holds(2, data.task in get_args(TaskKind), f"task is {data.task!r}, not one of {get_args(TaskKind)}")
    _names(contract, "classes", classes := data.classes)
    contract.holds(2, len(classes) >= 2, f"classes are {classes!r:.60}, not two or more")
    _names(contract, "natural", data.natural)
    place = contract.ask(3, "locate()", data.locate)
    contract.holds(3, isinstance(place, Path) and place.exists(), f"locate() is {place!r}, which does not exist")
    examples = contract.ask(4, "examples()", data.examples)
    contract.holds(4, isinstance(examples, Examples), f"examples() is a {type(examples).__name__}, not Examples")
    again = data.examples()
    same = all(_same(x, y) for x, y in zip(_parts(examples), _parts(again), strict=True))
    contract.holds(4, same, "examples() gives others, or another order, when asked again")
    _inputs(contract, data.task, examples)
    _numbers(contract, "label", examples.labels, len(examples.inputs), len(classes))
    groups = examples.groups
    both = (groups is not None) == bool(data.natural)
    contract.holds(4, both, f"natural names {len(data.natural)} clients, but groups are {groups!r:.60}")
    if groups is not None:
        _numbers(contract, "group", groups, len(examples.inputs), len(data.natural))
    counts, wanted = tuple(contract.ask(5, "counts()", data.counts)), counted(examples, len(classes))
    contract.holds(5, counts == wanted, f"counts() says {counts}, but examples() gives {wanted}")
    record = contract.ask(6, "record()", data.record)
    try:
        written = json.dumps(record)
    except (TypeError, ValueError) as error:
        raise contract.broken(6, f"record() cannot be written as JSON: {error}") from error
    digest = isinstance(record, dict) and record.get("sha256")
    contract.holds(6, digest, "record() does not give the sha256 of what is read")
    private = [
        x for x in (str(place.resolve().parent), str(Path.home())) if len(x) > 1 and json.dumps(x)[1:-1] in written
    ]
    contract.holds(6, not private, f"record() gives a path of this computer: {private[:1]}")
    card = describe(type(data))
    contract.card(7)
    for name, text in (("Formula", card.formula), ("Validity", card.validity), ("Source", card.source)):
        contract.holds(7, text, f"the docstring has no section {name}")


def _names(contract: Contract, what: str, names: Any) -> None:
    right = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
    contract.holds(2, right, f"{what} are {names!r:.60}, not a tuple of names")
    contract.holds(2, len(set(names)) == len(names), f"{what} are {names!r:.60}, not all different")


def _parts(examples: Examples) -> tuple[Any, ...]:
    return examples.inputs, examples.labels, () if examples.groups is None else examples.groups


def _same(one: Any, other: Any) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else bool(one == other)


def _inputs(contract: Contract, task: TaskKind, examples: Examples) -> None:
    inputs = examples.inputs
    if task == "image":
        right = isinstance(inputs, np.ndarray) and inputs.dtype == np.uint8
        contract.holds(4, right, "the inputs of an image task are no array of unsigned bytes")
        shape = np.shape(inputs)
        fits = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
        contract.holds(4, fits, f"images have the shape {shape}, not [n, height, width] or [n, height, width, 3]")
    else:
        contract.holds(4, isinstance(inputs, tuple), f"texts are a {type(inputs).__name__}, not a tuple")
        empty = [text for text in inputs if not (isinstance(text, str) and text.strip())]
        contract.holds(4, not empty, f"a text is empty: {empty[:1]!r:.60}")
    keys = [one.tobytes() if isinstance(one, np.ndarray) else one for one in inputs]
    if len(set(keys)) < len(keys):
        twice = next(one for one, times in zip(inputs, map(Counter(keys).__getitem__, keys), strict=True) if times > 1)
        raise contract.broken(4, f"an input comes twice: {[twice]!r:.60}")


def _numbers(contract: Contract, what: str, numbers: Any, length: int, names: int) -> None:
    right = isinstance(numbers, np.ndarray) and numbers.dtype == np.int64 and numbers.shape == (length,)
    contract.holds(4, right, f"{what}s are no array of {length} numbers of 64 bits")
    outside = [int(number) for number in np.unique(numbers) if not 0 <= number < names]
    contract.holds(4, not outside, f"the {what} {outside[:1]} is not one of 0 to {names - 1}")
