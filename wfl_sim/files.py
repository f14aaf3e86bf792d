"""Files that options name: found beside the scenario or in the working directory, and read when it is checked.

Knows which options name a file (`channels.files.File`) and nothing of what the files hold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from channels.files import File, FileError
from channels.options import Options, option_name, type_hints
from channels.recorded import CLIENT
from wfl_sim.learning.options import Data

AnyOptions = TypeVar("AnyOptions", bound=Options)


def file_fields(cls: type) -> tuple[str, ...]:
    """The fields of an options class that name a file, also beside None."""
    return _file_fields(cls)


@cache
def _file_fields(cls: type) -> tuple[str, ...]:
    def marked(hint: Any) -> bool:
        return any(isinstance(part, File) or marked(part) for part in get_args(hint))

    return tuple(name for name, hint in type_hints(cls).items() if marked(hint))


def placed(options: AnyOptions, folder: Path | None) -> AnyOptions:
    """The same options with each file that lies below `folder` named from the working directory."""
    named, changes = file_fields(type(options)), dict[str, Any]()
    for item in fields(options):
        value = getattr(options, item.name)
        if isinstance(value, Options):
            inner = placed(value, folder)
            if inner is not value:
                changes[item.name] = inner
        elif _is_list(value):
            each = tuple(placed(one, folder) for one in value)
            if any(new is not old for new, old in zip(each, value, strict=True)):
                changes[item.name] = each
        elif item.name in named and value is not None and folder is not None:
            beside = folder / value.replace(CLIENT, "0")
            if not os.path.isabs(value) and beside.is_file():
                changes[item.name] = os.path.relpath(folder / value)
    moved = replace(options, **changes) if changes else options
    return cast(AnyOptions, moved.beside(folder)) if folder is not None and isinstance(moved, Data) else moved


@cache
def _keys(cls: Any) -> tuple[tuple[str, str], ...]:
    """The fields of an options class, each with its key."""
    return tuple((item.name, option_name(item.name)) for item in fields(cls))


def unreadable(options: Options, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path of each option that names a file which cannot be read, and why."""
    cls: Any = type(options)
    for name, key in _keys(cls):
        if isinstance(value := getattr(options, name), Options):
            yield from unreadable(value, (*path, key))
        elif _is_list(value):
            for number, one in enumerate(value):
                yield from unreadable(one, (*path, key, str(number)))
    if named := [name for name in file_fields(type(options)) if getattr(options, name) is not None]:
        try:
            options.load()  # type: ignore[attr-defined]
        except FileError as error:
            blamed = next((name for name in named if str(error).startswith(f"{getattr(options, name)}:")), named[0])
            looked = (
                "; looked for beside the scenario and in the working directory" if "No such file" in str(error) else ""
            )
            yield (*path, option_name(blamed)), f"{error}{looked}"


def _is_list(value: object) -> bool:
    """Whether an option is a list of options, which has at least one."""
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Options)
