"""One model held against the contract of its noun: what is asked of it, and the error where an answer is wrong.

Knows no noun: the checks beside this module know what to ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from channels.describe import describe, options_of
from channels.options import Options, option_name
from wfl_sim.contracts import FloatArray, Params
from wfl_sim.errors import WflError

T = TypeVar("T")
Ints = NDArray[np.int64]
SIGMAS = 5.0  # a mean over n draws may be off by this many standard errors: a right model fails once in 2 million
LAW = 1e-6  # weights and mean of a law that are given as numbers
NOT_A_PLACE_OR_TIME = (math.nan, math.inf, -1.0)


class ContractError(WflError):
    """A model breaks its contract. ``args`` = (class, where the contract stands, number of the clause, message)."""

    def __str__(self) -> str:
        name, where, clause, message = self.args
        return f"{name} breaks clause {clause} of the contract of {where}: {message}"


class Contract:
    """One model and the contract that it is held against."""

    def __init__(self, model: Any, where: str) -> None:
        self.model, self.where = model, where

    def broken(self, clause: int, message: str) -> ContractError:
        return ContractError(type(self.model).__name__, self.where, clause, message)

    def holds(self, clause: int, fine: Any, message: str) -> None:
        if not bool(fine):
            raise self.broken(clause, message)

    def ask(self, clause: int, what: str, question: Callable[[], T]) -> T:
        """The model's answer; what it raises instead is a broken contract too."""
        try:
            return question()
        except Exception as error:
            raise self.broken(clause, f"{what} raises {type(error).__name__}: {error}") from error

    def floats(self, clause: int, what: str, question: Callable[[], Any], shape: tuple[int, ...]) -> FloatArray:
        """An answer that has to be a float64 array of finite numbers."""
        got = self.ask(clause, what, question)
        got = np.asarray(got) if isinstance(got, np.generic) else got  # a scalar of numpy is an array of no dimension
        self.holds(clause, isinstance(got, np.ndarray), f"{what} is a {type(got).__name__}, not a numpy array")
        self.holds(clause, got.dtype == np.float64, f"{what} is of {got.dtype}, not float64")
        self.holds(clause, got.shape == shape, f"{what} has the shape {got.shape}, not {shape}")
        self.holds(
            clause, np.isfinite(got).all(), f"{what} holds {got[~np.isfinite(got)].flat[:1]}, which is not finite"
        )
        return np.asarray(got)

    def refuses(self, clause: int, what: str, question: Callable[[], Any]) -> None:
        try:
            question()
        except ValueError:
            return
        except Exception as error:
            raise self.broken(clause, f"{what} raises {type(error).__name__}, not ValueError: {error}") from error
        raise self.broken(clause, f"{what} is taken, where ValueError was to be raised")

    def options(self, clause: int) -> None:
        """A frozen dataclass of options, all of them described."""
        cls: Any = type(self.model)
        self.holds(clause, issubclass(cls, Options) and is_dataclass(cls), "is no dataclass derived from Options")
        self.holds(clause, cls.__dataclass_params__.frozen, "the dataclass is not frozen")
        names = [field.default for field in fields(cls) if field.name == "kind"]
        named = names and isinstance(names[0], str) and names[0]
        self.holds(clause, named, "there is no field `kind` with the name as its default")
        takes = getattr(cls, "takes", lambda name: False)  # of data that are named by their path
        fine = self.model.kind == names[0] or takes(self.model.kind)
        self.holds(clause, fine, f"kind is {self.model.kind!r}, not {names[0]!r}")

    def card(self, clause: int) -> None:
        cls: Any = type(self.model)
        self.holds(clause, "__doc__" in vars(cls) and describe(cls).summary, "there is no docstring")
        generated = describe(cls).summary.startswith(f"{cls.__name__}(")  # what dataclass puts where there is none
        self.holds(clause, not generated, "there is no docstring")
        for option in options_of(cls):
            self.holds(clause, option.text, f"the docstring's section Options says nothing of `{option.field}`")

    def unread(self, clause: int) -> None:
        """The class names no option as unread that it does not have."""
        cls: Any = type(self.model)
        unread, names = vars(cls).get("unread", ()), [option_name(option.field) for option in options_of(cls)]
        fine = isinstance(unread, tuple) and set(unread) <= set(names)
        self.holds(clause, fine, f"unread is {unread!r}, not a tuple of options; it has {', '.join(names)}")

    def any_order(
        self, clause: int, what: str, ask: Callable[[Ints, Ints], NDArray[Any]], rows: int, columns: int
    ) -> NDArray[Any]:
        """The answer [rows, columns, ...] to the whole question, which must be that to each of its parts."""
        row, column = np.arange(rows), np.arange(columns)
        parts = {
            "one client at one time": (row[-2:-1], column[columns // 2 :][:1]),
            "the times in reverse": (row, column[::-1]),
            "the clients in reverse": (row[::-1], column),
            "every third time": (row, column[::3]),
            "one client": (row[1:2], column),
            "everything": (row, column),
            "everything again": (row, column),
        }
        answers = {name: self.ask(clause, f"{what} for {name}", partial(ask, *part)) for name, part in parts.items()}
        whole = answers["everything"]
        for name, (r, c) in parts.items():
            same = np.ascontiguousarray(answers[name]).tobytes() == whole[np.ix_(r, c)].tobytes()
            self.holds(clause, same, f"{what} for {name} differs from the same values asked for with all others")
        return whole

    def mean(self, clause: int, what: str, draws: FloatArray, wanted: float) -> None:
        """Whether the mean of independent draws may be what it should be, as their own scatter tells."""
        tolerance = SIGMAS * float(np.std(draws)) / math.sqrt(draws.size) + LAW
        got = float(np.mean(draws))
        fine = abs(got - wanted) <= tolerance
        self.holds(
            clause, fine, f"the mean of {what} is {got:.4g}, not {wanted:.4g} +- {tolerance:.2g} ({draws.size} draws)"
        )


def drawn(shapes: dict[str, tuple[int, ...]], seed: int, scale: float = 1.0) -> Params:
    """Normal draws of some shapes."""
    random = np.random.default_rng(seed)
    return {name: (scale * random.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}


def same(left: Params, right: Params) -> bool:
    """Whether two sets of arrays agree in names and in every bit."""
    return list(left) == list(right) and all(left[name].tobytes() == right[name].tobytes() for name in left)


HEAD: dict[str, tuple[int, ...]] = {"head.weight": (3, 6), "head.bias": (3,)}
LORA: dict[str, tuple[int, ...]] = {"q.A": (4, 12), "q.B": (9, 4), "v.A": (2, 12), "v.B": (30, 2)}
