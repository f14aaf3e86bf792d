"""Groups of clients: each is a scenario of its own, of these clients alone; findings in it are told at its keys.

Knows options; neither models, nor data, nor how anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from wfl_sim import rankfit
from wfl_sim.findings import Finding, finding
from wfl_sim.learning.options import SECTIONS
from wfl_sim.methods.base import has_one_rank
from wfl_sim.methods.none import NoLearning

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

Path = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Clients that are alike: a group, or all clients where there are none.

    `number` is the place of the group among `learning.groups`, None where there are none. `scenario` is that of these
    clients alone: their model, data, training and rank, and as many clients. `sharers` are all who hold examples of the
    same set: those of the groups with the same data, in order.
    """

    name: str
    number: int | None
    clients: range
    scenario: Scenario
    sharers: tuple[int, ...]

    @cached_property
    def beside(self) -> Scenario:
        """The scenario of all who share this part's examples."""
        clients = self.scenario.clients
        return replace(self.scenario, clients=replace(clients, count=len(self.sharers)))

    def told(self, found: Finding, whole: Scenario) -> Finding:
        """A finding in the part's scenario, told where a key of the `whole` one stands for this part."""
        if self.number is None:
            return found
        group = whole.learning.groups[self.number]
        own: dict[Path, Path] = {
            ("learning", name): ("learning", "groups", str(self.number), name) for name in SECTIONS
        }
        stated = {path: new for path, new in own.items() if getattr(group, path[1]) is not None}
        if group.rank is not None:
            stated["method", "rank"] = ("learning", "groups", str(self.number), "rank")

        def moved(path: Path) -> Path:
            return (*stated[path[:2]], *path[2:]) if path[:2] in stated else path

        read, clash = tuple(map(moved, found.read)), tuple(map(moved, found.clash))
        return found._replace(path=moved(found.path), read=read, clash=clash)


def parts(scenario: Scenario) -> tuple[Part, ...]:
    """The groups of a scenario, or all of it where it has none."""
    learning, method, count = scenario.learning, scenario.method, scenario.clients.count
    if not learning.groups:
        return (Part("", None, range(count), scenario, tuple(range(count))),)
    found, first = list[Part](), 0
    for number, group in enumerate(learning.groups):
        one_rank = not isinstance(method, NoLearning) and has_one_rank(method)  # else the group's is not read
        rank = rankfit.fitted(scenario, number) if group.fits_rank and one_rank else group.rank
        ranked = rank is not None and one_rank
        own = replace(
            scenario,
            learning=learning.of(group),
            method=replace(method, rank=rank) if ranked else method,  # type: ignore[type-var]
            clients=replace(scenario.clients, count=group.clients),
        )
        found.append(Part(group.name, number, range(first, first + group.clients), own, ()))
        first += group.clients
    held = {part.name: part.scenario.learning.data for part in found}
    return tuple(
        replace(one, sharers=tuple(k for other in found if held[other.name] == held[one.name] for k in other.clients))
        for one in found
    )


def each(scenario: Scenario, rule: Callable[[Scenario], list[Finding]]) -> list[Finding]:
    """What a rule finds in each part, with as many clients as share its examples; what two have in common is told
    once."""
    told = (part.told(found, scenario) for part in parts(scenario) for found in rule(part.beside))
    return list(dict.fromkeys(told))


def problems(scenario: Scenario) -> list[Finding]:
    """What does not go together in the groups themselves."""
    groups, count = scenario.learning.groups, scenario.clients.count
    if not groups or isinstance(scenario.method, NoLearning):
        return []
    found, total = list[Finding](), sum(group.clients for group in groups)
    if total != count:
        message = f"must be {total}, the clients of all learning.groups together"
        found.append(finding("clients.count", message, count, "learning.groups", fits=total))
    for number, group in enumerate(groups):
        if hasattr(scenario.method, "rank_at") and (group.rank is not None or group.fits_rank):
            key = "rank" if group.rank is not None else "memory" if group.memory_bits is not None else "payload"
            message = f"is not read: {scenario.method.kind} has ranks of its own, the same in all groups; leave it out"
            found.append(finding(f"learning.groups.{number}.{key}", message, "", "method"))
    if getattr(scenario.protocol, "weights", "") == "uniform":
        message = (
            "must be examples with learning.groups: each group is averaged by itself, and uniform weights of a buffer "
            "would let it go farther or less far than its clients did"
        )
        found.append(finding("protocol.weights", message, "uniform", "learning.groups", fits="examples"))
    if scenario.rank_selection is not None:
        message = (
            "chooses one rank for all clients, and learning.groups may each have a rank of their own; leave it out"
        )
        found.append(finding("rank_selection", message, "", "learning.groups"))
    return found
