"""Rules of learning: enough examples, targets that can be reached, a model and data that are there and fit.

Knows options and what can be learnt of models and data without loading them; trains nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from channels.units import render
from wfl_sim import groups, rankfit, rankrules
from wfl_sim.errors import MissingResource
from wfl_sim.findings import Finding
from wfl_sim.findings import finding as _finding
from wfl_sim.learning.examples import TaskKind
from wfl_sim.methods.fedtt import Trains
from wfl_sim.methods.fedtt_plus import FedTtPlus
from wfl_sim.methods.none import NoLearning
from wfl_sim.methods.sa_fedlora import SaFedLora
from wfl_sim.methods.tensortrain import classifier_modes
from wfl_sim.quality import PERPLEXITY, quality_of

if TYPE_CHECKING:
    from wfl_sim.scenario import Scenario

_SERVES: dict[TaskKind, str] = {"text": "texts", "image": "images", "language": "language modelling"}


def problems(scenario: Scenario) -> list[Finding]:
    """What does not go together in what is to be learnt."""
    examples = [*groups.problems(scenario), *groups.each(scenario, _examples)]
    return [*examples, *_measures(scenario), *_targets(scenario), *_classifiers(scenario)]


def resources(scenario: Scenario) -> list[Finding]:
    """What is not on this computer, or does not fit the model or the data that are there."""
    return [*groups.each(scenario, _model), *groups.each(scenario, _data), *_modules(scenario), *_room(scenario)]


def _measures(scenario: Scenario) -> list[Finding]:
    """One measure for all groups: the accuracy of one is no part of a mean with the perplexity of another."""
    first, *others = groups.parts(scenario)
    found = list[Finding]()
    for part in others if not isinstance(scenario.method, NoLearning) else []:
        kinds = [_is_language(one) for one in (first, part)]
        if kinds[0] != kinds[1]:
            words = ["is judged by perplexity" if kind else "is judged by accuracy" for kind in kinds]
            names = [one.scenario.learning.data.name for one in (first, part)]
            message = f"{words[1]}, and {names[0]} of the group {first.name} {words[0]}: take tasks with one measure"
            told = _finding("learning.data.name", message, names[1], "learning.groups", "learning.data.name")
            found.append(part.told(told, scenario))
    if getattr(scenario.method, "own_coding", False) and not found and _is_language(first):
        message = f"is a language task, and {scenario.method.kind} learns tasks with classes"
        name = first.scenario.learning.data.name
        found.append(first.told(_finding("learning.data.name", message, name, "method.kind"), scenario))
    return found


def _room(scenario: Scenario) -> list[Finding]:
    """Room for a rank of 1 in each group whose rank is to fit."""
    found = list[Finding]()
    for number, group in enumerate(scenario.learning.groups if hasattr(scenario.method, "rank") else ()):
        if not group.fits_rank:
            continue
        try:
            least = rankfit.taken(scenario, number, 1)
        except MissingResource:  # which is told where the name stands
            continue
        for name in ("memory_bits", "payload_bits"):
            limit, took = getattr(group, name), getattr(least, name)
            if limit is not None and took > limit:
                fits = render(float(f"{1.01 * took:.3g}"), "bit")
                message = f"must be at least {render(float(f'{took:.4g}'), 'bit')}, what the rank 1 takes"
                key = f"learning.groups.{number}.{name.removesuffix('_bits')}"
                found.append(_finding(key, message, render(limit, "bit"), "learning.groups", fits=fits))
    return found


def _is_language(part: groups.Part) -> bool:
    return _task(part.scenario.learning.data.name) == "language"


def _modules(scenario: Scenario) -> list[Finding]:
    """Where clients share a stack of matrices, each of their backbones has as many for it in a block."""
    from wfl_sim.learning.sources import model_info

    adapter = scenario.method.adapter()
    if adapter is None or not getattr(scenario.method, "own_coding", False):
        return []
    found, names = list[Finding](), dict[int, str]()
    for part in groups.parts(scenario):
        name = part.scenario.learning.model.name
        try:
            names.setdefault(len(model_info(name).projections(adapter.roles)), name)
        except MissingResource:  # which is told where the name stands
            return []
    if len(names) > 1:
        counts = ", ".join(f"{name} {count}" for count, name in names.items())
        message = f"must find as many layers in a block of each model ({counts}): {scenario.method.kind} pairs them"
        got = f"[{', '.join(adapter.roles)}]"
        found.append(_finding("method.adapt", message, got, "method", "learning.groups", fits="[query, value]"))
    return found


def _examples(scenario: Scenario) -> list[Finding]:
    data, clients = scenario.learning.data, scenario.clients.count
    if isinstance(scenario.method, NoLearning):
        return []
    if data.evaluate == "validation" and not data.validation:
        message = "validation needs examples of its own: learning.data.validation is 0"
        return [_finding("learning.data.evaluate", message, "", "learning.data.validation", fits="test")]
    if clients > data.train:
        message = f"must be at most the {data.train} training examples"
        return [_finding("clients.count", message, clients, "learning.data.train", fits=data.train)]
    least, share = getattr(data.partition, "least", 1), data.train // clients
    if least > share:
        message = f"must be at most {share}: {clients} clients share {data.train} examples"
        read = ("clients.count", "learning.data.train")
        return [_finding("learning.data.partition.least", message, least, *read, fits=share)]
    return []


def _classifiers(scenario: Scenario) -> list[Finding]:
    """What is trained of a classifier alone; and an initiating stage that ends before the run."""
    method, rounds, quality = scenario.method, scenario.rounds, quality_of(scenario)
    language = quality is not None and quality.metric == PERPLEXITY.metric
    if language and isinstance(method, Trains) and method.classifier != "linear":
        message = "is a classifier's, and learning.data is a language task; take linear"
        return [_finding("method.classifier", message, method.classifier, "learning.data.name", fits="linear")]
    if not isinstance(method, SaFedLora) or not method.initiating_rounds:
        return []
    if method.initiating_rounds > rounds:
        message = f"must be at most rounds, {rounds}"
        return [
            _finding("method.initiating_rounds", message, method.initiating_rounds, "rounds", fits=max(1, rounds // 10))
        ]
    if method.initiating == "full" and language:
        message = "trains all weights, which are its output matrix too in language modelling; take lora"
        return [_finding("method.initiating", message, "full", "learning.data.name", fits="lora")]
    return []


def _targets(scenario: Scenario) -> list[Finding]:
    """Targets that the measure of the task can take."""
    quality = quality_of(scenario)
    if quality is None:
        return []
    found = []
    for number, target in enumerate(scenario.learning.targets):
        if not quality.possible(target):
            read = ("learning.targets", "learning.data.name")
            found.append(_finding(f"learning.targets.{number}", quality.rule, f"{target:g}", *read))
    return found


def _model(scenario: Scenario) -> list[Finding]:
    from wfl_sim.learning.sources import model_info

    model, adapter = scenario.learning.model, scenario.method.adapter()
    try:
        info = model_info(model.name)
    except MissingResource as error:
        return [_finding("learning.model.name", str(error))]
    data = scenario.learning.data
    kind: TaskKind = _task(data.name)
    if kind not in info.kinds:
        what = " or ".join(_SERVES[known] for known in info.kinds)
        message = f"serves {what}; {data.name} needs one for {_SERVES[kind]}"
        return [_finding("learning.model.name", message, model.name, "learning.data.name")]
    tokens = None if kind == "image" else data.max_tokens
    most_rank = (None, "") if adapter is None else adapter.most_rank(info.hidden)
    limits = [
        ("method.rank", adapter.rank if adapter is not None else None, *most_rank),
        ("learning.model.layers", model.layers, info.layers, "the model's depth"),
        ("learning.data.max_tokens", tokens, info.positions, "the longest text that the model takes"),
    ]
    if adapter is not None:
        limits += rankrules.limits(scenario, *adapter.most_rank(info.hidden))
    if isinstance(scenario.method, FedTtPlus):
        trains = scenario.method.trains()
        counts = [trains.length(outputs) for _, _, outputs in info.projections(trains.roles)]
        most = max([*counts, len(classifier_modes(info.hidden)) if trains.hidden_layer else 0])
        limits.append(("method.factors", scenario.method.factors, most, "the factors of a tensor train"))
    return [
        _finding(key, f"must be at most {most}, {what}", got, "learning.model.name", fits=most)
        for key, got, most, what in limits
        if got is not None and most is not None and got > most
    ]


def _task(name: str) -> TaskKind:
    """What a data set is for; what is not known is said of the data set itself."""
    from wfl_sim.learning.data import data_set

    try:
        kind: TaskKind = getattr(data_set(name), "task", "text")
    except MissingResource:
        kind = "text"
    return kind


def _data(scenario: Scenario) -> list[Finding]:
    from channels.streams import Stream
    from wfl_sim.learning.data import check_partition, check_sizes

    data, clients = scenario.learning.data, scenario.clients.count
    try:
        found = [_finding(key, message, "", "learning.data") for key, message in check_sizes(data)]
        if not found and not _examples(scenario):
            for seed in scenario.seeds:
                if problem := check_partition(data, clients, Stream.root(seed).child("learning")):
                    message = (
                        f"cannot be made with seed {seed}: {problem.message}" if problem.drawn else problem.message
                    )
                    return [_finding(problem.key, message, "", "learning.data", "clients.count")]
        return found
    except MissingResource as error:
        return [_finding("learning.data.name", str(error))]
