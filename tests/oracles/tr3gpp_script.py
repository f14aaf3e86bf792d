r"""The formulas of TR 38.901 as tr3gpp has them, in LaTeX, worked out: questions in, answers out, as JSON.

Runs in the oracle's own environment and knows no formula itself: it reads statements ``left = right``, divided by
``;``, with ``\begin{cases}`` and products without a sign.
"""

from __future__ import annotations

import functools
import json
import math
import re
import sys

from tr3gpp import tr38901

SCENARIO = {"uma": "UMa", "umi": "UMi-StreetCanyon", "rma": "RMa", "inh": "InH-Office", "inf": "InF"}
SIGHT = {**SCENARIO, "inh mixed": "Indoor-MixedOffice", "inh open": "Indoor-OpenOffice"}
SIGHT["inf"] = "InF-SL, InF-DL, InF-SH, InF-DH"
CORRELATION = {"uma": ("UMa", "LOS"), "umi": ("UMi", "LOS"), "rma": ("RMa", "LOS"), "inh": ("Indoor", None)}
CORRELATION["inf"] = ("InF", None)
FUNCTIONS = ("log_10", "exp", "ln", "max", "min", "Cprime")
NAMES = {"log_10": math.log10, "exp": math.exp, "ln": math.log, "max": max, "min": min, "pi": math.pi}
NAMES["Cprime"] = lambda height_m: 0.0  # of UMa, for clients up to 13 m; no taller ones are asked for


def plain(latex):
    """LaTeX as a Python expression."""
    text = re.sub(r"_\{([^{}]*)\}", lambda found: "_" + re.sub(r"\W", "", found[1]), latex)
    text = re.sub(r"\\text\{[^{}]*\}|\\quad|\\left|\\right|\\,", " ", text).replace("'", "prime")
    while (shorter := re.sub(r"\\d?frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)) != text:
        text = shorter
    text = re.sub(r"\^\{([^{}]*)\}", r"**(\1)", text).replace("^", "**").replace(r"\cdot", "*").replace(r"\le", "<=")
    text = re.sub(r"(?<=\d)km\b", "e3", text.replace("[", "(").replace("]", ")").replace("\\", ""))
    text = re.sub(r"(?<=\d)m\b", "", text)
    text = re.sub(r"(?<![\w.])(\d+\.?\d*)\s*(?=[A-DF-Za-df-z(])", r"\1*", text)
    text = re.sub(r"\)\s*(?=[\w(])", ")*", text)
    text = re.sub(r"([A-Za-z]\w*)\s*\(", lambda found: found[1] + ("(" if found[1] in FUNCTIONS else "*("), text)
    return re.sub(r"(?<=\w)\s+(?=[\w(])", "*", text.strip())


@functools.cache
def compiled(latex):
    return compile(plain(latex), latex, "eval")


def worked_out(latex, known):
    return eval(compiled(latex), {"__builtins__": {}, **NAMES}, known)


@functools.cache
def statements(formula):
    """Pairs of name and right side, those that need no others last."""
    pairs = []
    for statement in formula.split(";"):
        left, _, right = statement.partition("=")
        if (name := plain(left.partition("(")[0])) not in NAMES:
            pairs.append((name, right.split(r", \text{ for }")[0]))
    return pairs


def value(formula, known):
    """What a formula comes to: its statement that needs all the others, whatever their order."""
    texts = dict(statements(formula))
    for name in texts:
        known.pop(name, None)
    waiting = list(reversed(texts.items()))
    while waiting:
        ready = [name for name, right in waiting if not needs(right, {other for other, _ in waiting} - {name})]
        for name, right in [pair for pair in waiting if pair[0] in ready]:
            if "PL_1(d_{BP})" in right:
                right = right.replace("PL_1(d_{BP})", f"({texts['PL_1'].replace('d_{3D}', 'd_{BP}')})")
            if r"\begin{cases}" in right:
                branches = right.split(r"\begin{cases}")[1].split(r"\end{cases}")[0].split(r"\\")
                right = next(side for side, given in (branch.split("&") for branch in branches) if holds(given, known))
            known[name] = worked_out(right, known)
        waiting = [pair for pair in waiting if pair[0] not in ready]
    return known[name]


@functools.cache
def names_in(latex):
    return set(re.findall(r"[A-Za-z]\w*", plain(latex)))


def needs(latex, names):
    return bool(names_in(latex) & names)


def holds(condition, known):
    if r"\text{for" in condition:
        return known["hall"] in condition
    return worked_out(condition, known)


def symbols(question, distance_m):
    """The quantities of a question under the names of the report; breakpoints as its notes 1 and 5 give them."""
    base_m, client_m, carrier_hz = question["base_m"], question["client_m"], question["carrier_hz"]
    known = {
        "d_2D": distance_m,
        "d_2Dout": distance_m,
        "d_2Din": distance_m,
        "d_3D": math.hypot(distance_m, base_m - client_m),
        "h_BS": base_m,
        "h_UT": client_m,
        "f_c": carrier_hz / 1e9,
        "dprime_BP": 4.0 * (base_m - 1.0) * (client_m - 1.0) * carrier_hz / 3e8,
        "d_BP": 2.0 * math.pi * base_m * client_m * carrier_hz / 3e8,
    }
    return known | question.get("symbols", {})


def answer(question):
    section, state = tr38901.section("7.4"), question["state"]
    if state == "correlation":
        scenario, condition = CORRELATION[question["model"]]
        entry = tr38901.section("7.6").correlation_distance(scenario=scenario, condition=condition)
        return [float(worked_out(entry.los_nlos_state_m, question["symbols"]))]
    if state == "wall":
        loss = section.o2i_penetration_loss
        known = {"f": question["carrier_hz"] / 1e9, "d_2Din": question["inside_m"]}
        for material in loss.materials:
            value(material.formula, known)
        model = next(entry for entry in loss.building_models if entry.model.lower().startswith(question["wall"]))
        return [worked_out(model.pl_tw_formula, known) + worked_out(model.pl_in_formula, known)]
    if state == "probability":
        entries = [section.los_probability(scenario=SIGHT[question["model"]])]
    else:
        entries = losses(section, question)
    answers = []
    for distance_m in question["distance_m"]:
        known = symbols(question, distance_m)
        for entry in entries:
            found = value(entry.formula, known)
            known["PL_" + entry.scenario.replace("-", "")] = found
        answers.append(found)
    return answers


def losses(section, question):
    """The entries to work out one after another: those with line of sight come first, others build on them."""
    scenario = SCENARIO[question["model"]]
    found = [section.pathloss(scenario=scenario, condition="LOS")]
    if question["state"] == "nlos":
        halls = {"InF-DL": ["InF-SL", "InF-DL"]}
        own = question["symbols"]["hall"] if scenario == "InF" else scenario
        found += [section.pathloss(scenario=name, condition="NLOS") for name in halls.get(own, [own])]
    return found


if __name__ == "__main__":
    print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
