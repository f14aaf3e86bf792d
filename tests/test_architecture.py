"""Who may import whom, how little a command loads, and what happens where `channels` is somebody else's.

Works on syntax trees and on fresh interpreters; knows no behaviour. The first tests show that the checker finds
what is wrong in a made-up source.
"""

from __future__ import annotations

import ast
import configparser
import graphlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("channels", "wfl_sim", "analysis")
TENSOR_LIBRARIES = ("torch", "peft", "transformers", "safetensors.torch")
PICKLES = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")


class Import(NamedTuple):
    """One imported module; `late` inside a function, `typing` under ``if TYPE_CHECKING``."""

    target: str
    line: int
    late: bool
    typing: bool


class Rule(NamedTuple):
    """The modules below `who` never import what is below `never`, except what is below `but`."""

    who: tuple[str, ...]
    never: tuple[str, ...]
    but: tuple[str, ...] = ()


RULES = (
    Rule(
        ("wfl_sim.methods", "wfl_sim.learning", "wfl_sim.codecs", "wfl_sim.federation", "wfl_sim.lowrank"),
        ("simpy", "wfl_sim.radio", "wfl_sim.protocols", "wfl_sim.engine"),
    ),
    Rule(("wfl_sim.methods", "wfl_sim.codecs", "wfl_sim.federation", "wfl_sim.lowrank"), TENSOR_LIBRARIES),
    Rule(
        ("wfl_sim.methods", "wfl_sim.codecs", "wfl_sim.federation", "wfl_sim.lowrank"),
        ("channels",),
        but=("channels.options", "channels.units"),
    ),
    Rule(("wfl_sim.learning",), ("channels",), but=("channels.options", "channels.units", "channels.streams")),
    Rule(("wfl_sim.schedules",), (*TENSOR_LIBRARIES, "simpy", "wfl_sim.radio", "wfl_sim.protocols")),
    Rule(("wfl_sim.schedules", "wfl_sim.radio"), ("wfl_sim.methods", "wfl_sim.codecs", "wfl_sim.learning")),
    Rule(("wfl_sim.engine", "wfl_sim.radio", "wfl_sim.protocols", "wfl_sim.scenario", "wfl_sim.cli"), TENSOR_LIBRARIES),
    Rule(("analysis",), (*TENSOR_LIBRARIES, "simpy")),
    # What a plug-in imports must not look for plug-ins: it would meet the plug-in half loaded.
    Rule(
        (
            "channels",
            "wfl_sim.methods",
            "wfl_sim.codecs",
            "wfl_sim.schedules",
            "wfl_sim.protocols",
            "wfl_sim.checks",
            "wfl_sim.learning.datasets",
            "wfl_sim.learning.partition",
            "wfl_sim.contracts",
            "wfl_sim.radio",
        ),
        ("wfl_sim.plugins", "wfl_sim.nouns", "wfl_sim.learning.data", "wfl_sim.scenario"),
    ),
)
# What can be imported without a tensor library, also by way of other modules of the project.
LIGHT = (
    "channels", "analysis", "wfl_sim.scenario", "wfl_sim.cards", "wfl_sim.cli", "wfl_sim.study", "wfl_sim.engine",
    "wfl_sim.radio", "wfl_sim.protocols", "wfl_sim.schedules", "wfl_sim.methods", "wfl_sim.codecs", "wfl_sim.lowrank",
    "wfl_sim.federation", "wfl_sim.trace", "wfl_sim.contracts", "wfl_sim.estimate", "wfl_sim.schema", "wfl_sim.present",
    "wfl_sim.completion", "wfl_sim.checks", "wfl_sim.nouns", "wfl_sim.checks",
    "wfl_sim.learning.data", "wfl_sim.learning.datasets", "wfl_sim.learning.fetch", "wfl_sim.commands.fetch",
    "wfl_sim.export", "wfl_sim.commands.export", "wfl_sim.learningwork", "wfl_sim.machine",
    "wfl_sim.tuning", "wfl_sim.commands.tune", "wfl_sim.commands.compare", "wfl_sim.stage1", "wfl_sim.commands.plan",
)  # fmt: skip


def module_name(path: Path) -> str:
    """The import name of a file of the project."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, str]:
    """Every module of the project and its text."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {module_name(path): path.read_text(encoding="utf-8") for path in files}


MODULES = sources()


def below(module: str, packages: tuple[str, ...]) -> bool:
    """Whether `module` is one of `packages` or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imports(source: str, module: str, known: Mapping[str, object] = MODULES) -> list[Import]:
    """All imports of a source, wherever they stand; ``from a import b`` is of ``a.b`` where that is a module."""
    return _imports(source, module, frozenset(known))


@cache  # a source is asked about under many rules
def _imports(source: str, module: str, known: frozenset[str]) -> list[Import]:
    found: list[Import] = []

    def visit(node: ast.AST, late: bool, typing: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, late, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: len(module.split(".")) - node.level]
                base = ".".join([*package, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = inner in known or inner in TENSOR_LIBRARIES
                found.append(Import(inner if is_module else base, node.lineno, late, typing))
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.body:
                visit(child, late, True)
            for child in node.orelse:
                visit(child, late, typing)
        else:
            inside = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for child in ast.iter_child_nodes(node):
                visit(child, inside, typing)

    visit(ast.parse(source), False, False)
    return found


def broken_rules(modules: Mapping[str, str], rules: tuple[Rule, ...] = RULES) -> list[str]:
    """``module:line imports target`` for every import that a rule forbids."""
    return [
        f"{module}:{item.line} imports {item.target}"
        for rule in rules
        for module, source in modules.items()
        if below(module, rule.who)
        for item in imports(source, module, MODULES)
        if below(item.target, rule.never) and not below(item.target, rule.but)
    ]


def import_cycle(modules: Mapping[str, str]) -> list[str]:
    """The modules of a cycle of imports that run when a module is loaded; empty if there is none.

    That a module's own packages are loaded before it is no edge: they do not need it.
    """
    graph = {
        module: {
            item.target
            for item in imports(source, module, modules)
            if item.target in modules and item.target != module and not item.late and not item.typing
        }
        for module, source in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def loaded_by(module: str, modules: Mapping[str, str]) -> set[str]:
    """Everything that importing `module` loads: modules of the project with their packages, and names from outside."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in modules:
            parts = name.split(".")
            waiting += [".".join(parts[:n]) for n in range(1, len(parts))]
            waiting += [i.target for i in imports(modules[name], name, modules) if not i.late and not i.typing]
    return found


def doors_for_code(source: str) -> list[str]:
    """Ways in which data could become code: pickles, eval, exec, imports by name, unsafe YAML, torch's pickles."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            whole = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            found += [f"line {node.lineno}: {name}" for name in whole if below(name, PICKLES)]
            found += [f"line {node.lineno}: import_module" for name in names if name in ("import_module", "__import__")]
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"):
                found.append(f"line {node.lineno}: {called}")
            if called.endswith(("importlib.import_module", "runpy.run_path", "runpy.run_module")):
                found.append(f"line {node.lineno}: {called}")
            if called == "YAML" and "typ='safe'" not in ast.unparse(node):
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
            if called == "torch.load" and "weights_only=True" not in ast.unparse(node):
                found.append(f"line {node.lineno}: {called}")
    return found


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("wfl_sim.methods.bad", "import torch", ["wfl_sim.methods.bad:1 imports torch"]),
        ("wfl_sim.methods.bad", "def f():\n    from torch import nn", ["wfl_sim.methods.bad:2 imports torch"]),
        ("wfl_sim.codecs.bad", "from safetensors import torch", ["wfl_sim.codecs.bad:1 imports safetensors.torch"]),
        ("wfl_sim.codecs.bad", "from ..radio import medium", ["wfl_sim.codecs.bad:1 imports wfl_sim.radio.medium"]),
        ("wfl_sim.learning.bad", "from channels import links", ["wfl_sim.learning.bad:1 imports channels.links"]),
        ("wfl_sim.learning.bad", "from channels import Links", ["wfl_sim.learning.bad:1 imports channels"]),
        ("wfl_sim.learning.bad", "from channels import streams", []),
        ("wfl_sim.schedules.bad", "import simpy.events as e", ["wfl_sim.schedules.bad:1 imports simpy.events"]),
        (
            "wfl_sim.engine",
            "if TYPE_CHECKING:\n    import peft.tuners",
            ["wfl_sim.engine:2 imports peft.tuners"],
        ),
        ("analysis.bad", "try:\n    import torch\nexcept ImportError:\n    pass", ["analysis.bad:2 imports torch"]),
        ("wfl_sim.methods.good", "import torchlike\nfrom wfl_sim.contracts import Params", []),
    ],
)
def test_the_rule_checker_finds_what_is_wrong(module: str, source: str, expected: list[str]) -> None:
    assert broken_rules({module: source}) == expected


def test_the_cycle_checker_finds_a_cycle() -> None:
    modules = {"p": "", "p.a": "from p import b", "p.b": "from p.c import f", "p.c": "import p.a"}
    assert set(import_cycle(modules)) == {"p.a", "p.b", "p.c"}
    assert import_cycle(modules | {"p.c": "def f():\n    import p.a"}) == []
    assert import_cycle(modules | {"p.c": "if TYPE_CHECKING:\n    import p.a"}) == []


def test_the_closure_follows_packages() -> None:
    modules = {"p": "import torch", "p.a": "", "q": "import p.a", "r": "def f():\n    import q"}
    assert loaded_by("q", modules) == {"q", "p", "p.a", "torch"}
    assert loaded_by("r", modules) == {"r"}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module",
        "YAML(typ='unsafe')",
        "YAML()",
        "torch.load(path)",
    ],
)
def test_the_code_door_checker_finds_each(source: str) -> None:
    assert len(doors_for_code(source)) == 1


def test_the_code_door_checker_lets_plain_lookups_pass() -> None:
    source = (
        "from importlib.metadata import entry_points\nimport importlib.util\nimportlib.util.find_spec(name)\n"
        "model.eval()\nYAML(typ='safe', pure=True)\nre.compile('x')"
    )
    assert doors_for_code(source) == []


def test_all_packages_were_read() -> None:
    listed = configparser.ConfigParser()
    listed.read(ROOT / "setup.cfg", encoding="utf-8")
    packages = {module_name(path.parent / "__init__.py") for p in PACKAGES for path in (ROOT / p).rglob("__init__.py")}
    assert packages == set(listed["options"]["packages"].split()), "setup.cfg lists the packages explicitly"
    assert {"channels.links", "wfl_sim.engine", "wfl_sim.learning.training", "analysis.plots"} <= set(MODULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.who[0]}-never-{rule.never[0]}")
def test_import_rules_hold(rule: Rule) -> None:
    assert all(any(below(module, (who,)) for module in MODULES) for who in rule.who), "a rule about nothing"
    assert broken_rules(MODULES, (rule,)) == []


def test_channels_imports_numpy_scipy_and_the_standard_library_only() -> None:
    allowed = {"channels", "numpy", "scipy", *sys.stdlib_module_names}
    foreign = [
        f"{module}:{item.line} imports {item.target}"
        for module, source in MODULES.items()
        if below(module, ("channels",))
        for item in imports(source, module)
        if item.target.split(".")[0] not in allowed
    ]
    assert foreign == []


def test_every_import_from_outside_is_a_declared_dependency() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = f"{setup['options']['install_requires']}\n{setup['options.extras_require']['hub']}"
    declared = {re.split(r"[<>=.\[]", line)[0] for line in wanted.split()}
    known = {*PACKAGES, *declared, *sys.stdlib_module_names}
    foreign = {
        f"{module} imports {item.target}"
        for module, source in MODULES.items()
        for item in imports(source, module)
        if item.target.split(".")[0] not in known
    }
    assert foreign == set()


def test_there_is_no_import_cycle() -> None:
    assert import_cycle(MODULES) == []


@pytest.mark.parametrize("module", LIGHT)
def test_no_tensor_library_comes_in_by_a_detour(module: str) -> None:
    inside = [name for name in MODULES if below(name, (module,))]
    assert inside, "a rule about nothing"
    heavy = {name: sorted(x for x in loaded_by(name, MODULES) if below(x, TENSOR_LIBRARIES)) for name in inside}
    assert {name: found for name, found in heavy.items() if found} == {}


def test_data_never_becomes_code() -> None:
    found = {module: doors for module, source in MODULES.items() if (doors := doors_for_code(source))}
    assert found == {}


COUNTED = "clients.compute={speed: 50 GFLOP/s}"

# Import budget: what a fresh interpreter has loaded afterwards. Nothing is timed here.

RUN_COMMAND = """
import json, sys
from typer.testing import CliRunner
from wfl_sim.cli import app
result = CliRunner().invoke(app, {arguments})
print(json.dumps([result.exit_code, sorted(m for m in {heavy} if m in sys.modules), result.output]))
"""


def fresh(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own, at the root of the project."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("module", ["wfl_sim.scenario", "wfl_sim.cli", "wfl_sim", "channels"])
def test_importing_stays_light(module: str) -> None:
    heavy = ("torch", "peft", "transformers", "pandas", "matplotlib", *(("pydantic",) if module == "channels" else ()))
    done = fresh(f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])")
    assert (done.stderr, done.stdout.strip()) == ("", "[]")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        # where the work of training is counted, too
        (["validate", "scenarios/quickstart.yaml", COUNTED], "scenarios/quickstart.yaml: valid"),
        (["validate", "scenarios/seeds/split_learning.yaml", COUNTED], "scenarios/seeds/split_learning.yaml: valid"),
        (["linkbudget", "quickstart", COUNTED], "Link budget of quickstart"),
        (["explain"], "schedule:"),
        (["explain", "tsfa"], "latency_budget"),
        (["plot", "--help"], "Draw the pictures"),
        (["run", "--help"], "Run a scenario"),
        (["tune", "--help"], "Choose learning rates"),
        (["plan", "quickstart", "--by", "links", "--no-plots", COUNTED], "Plan of quickstart"),
        (["compare", "--help"], "Compare runs with a baseline"),
    ],
)
def test_commands_stay_light(arguments: list[str], says: str) -> None:
    heavy = ["torch", "peft", "transformers", "matplotlib", "pandas"]
    done = fresh(RUN_COMMAND.format(arguments=arguments, heavy=heavy))
    assert done.returncode == 0, done.stderr
    code, loaded, output = json.loads(done.stdout)
    assert (code, loaded) == (0, [])
    assert says in output


@pytest.fixture
def foreign_channels(tmp_path: Path) -> Iterator[Path]:
    """A folder with somebody else's package `channels`."""
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels" / "__init__.py").write_text("__version__ = '4.0.0'\n")
    yield tmp_path


def test_a_foreign_channels_package_is_named(foreign_channels: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import wfl_sim"],
        cwd=foreign_channels,
        env={**os.environ, "PYTHONPATH": f"{foreign_channels}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: wfl_sim needs its own package `channels`")
    assert str(foreign_channels / "channels" / "__init__.py") in last
    assert last.endswith(
        "another distribution (Django Channels) uses the same import name: "
        "install wfl-sim into an environment of its own"
    )
