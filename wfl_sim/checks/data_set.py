"""Checks of data sets: classes, texts, their numbers, and what a manifest may tell.

Know the contract and no data set; the data have to be on this computer.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from channels.describe import describe, options_of
from wfl_sim.checks.contract import Contract
from wfl_sim.learning.datasets.base import DataSet


def check_data_set(data: DataSet) -> None:
    """Hold a data set against `wfl_sim.learning.datasets.base.DataSet`; the data must be on this computer."""
    contract = Contract(data, "wfl_sim.learning.datasets.base.DataSet")
    contract.options(1)
    extra = [option.field for option in options_of(type(data))]
    contract.holds(1, not extra, f"a data set has no options besides its name, but there are: {', '.join(extra)}")
    classes = data.classes
    names = isinstance(classes, tuple) and all(isinstance(name, str) and name for name in classes)
    contract.holds(2, names, f"classes are {classes!r:.60}, not a tuple of names")
    different = len(set(classes)) == len(classes) >= 2
    contract.holds(2, different, f"classes are {classes!r:.60}, not two or more different names")
    place = contract.ask(3, "locate()", data.locate)
    contract.holds(3, isinstance(place, Path) and place.exists(), f"locate() is {place!r}, which does not exist")
    texts = contract.ask(4, "texts()", data.texts)
    contract.holds(4, data.texts() == texts, "texts() gives other texts, or another order, when asked again")
    for text, label in texts:
        known = isinstance(label, int) and 0 <= label < len(classes)
        contract.holds(4, known, f"the label {label!r} is not one of 0 to {len(classes) - 1}")
        contract.holds(4, isinstance(text, str) and text.strip(), f"a text of label {label} is empty: {text!r}")
    twice = [text for text, times in Counter(text for text, _ in texts).items() if times > 1]
    contract.holds(4, not twice, f"a text comes twice: {twice[:1]!r:.60}")
    read = Counter(label for _, label in texts)
    counts = tuple(contract.ask(5, "counts()", data.counts))
    wanted = tuple(read[label] for label in range(len(classes)))
    contract.holds(5, counts == wanted, f"counts() says {counts}, but texts() gives {wanted}")
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
