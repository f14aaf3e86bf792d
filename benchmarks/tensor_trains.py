"""Our tensor trains beside those of libraries: CPU seconds of one thread, ours over theirs, forward and backward.

The job is one of FedTT's adapters, 768 -> 64 -> 768 of rank 5 with factors of 8, 8, 12, 8, 8 and of the reverse, on 16
texts of 32 tokens, with gradients of inputs, factors and biases; rows of ten clients have 2 texts of 16 tokens of each,
which we take side by side. Rows are medians of pairs, each of many passes; first of all both must give the same
matrices within 1e-6, and the same outputs and gradients.

``tensorly_tensor`` and ``tensorly_matrix`` rebuild whole matrices by its two formats; ``tensorly_halves`` has it
rebuild the two thin ones that we use, and ``vmap`` does so for all clients at once. ``tltorch`` is the contraction of
tensorly-torch's linear layers. None of them is a dependency (``pip install tensorly tensorly-torch opt_einsum``): the
row of a peer that is not there says so. ``--json FILE`` also writes records {name, value, unit, target, peer}.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from _table import Benchmark, main, paired

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

import numpy as np  # noqa: E402

RUNS = 15
PASSES = 20  # of a measurement
WIDTH, RANK = 768, 5
MATRIX, OUTPUT = 1e-6, 1e-5  # by how much of the largest entry results may differ, sums of 5 and of up to 1024 products


class Job(NamedTuple):
    """Whose rows there are, and how many of each."""

    clients: int
    rows: int


ONE, MANY = Job(1, 16 * 32), Job(10, 2 * 16)


class Peer(NamedTuple):
    """A library's way: the module it needs, the shape of its cores, and x W + bias by them."""

    module: str
    core: Callable[[tuple[int, ...], bool], tuple[int, ...]]
    product: Callable[[Any, Sequence[Any], Any], Any]
    at_once: bool = False


def as_ours(shape: tuple[int, ...], enters: bool) -> tuple[int, ...]:
    """[bond, mode, bond]"""
    return shape


def of_matrix(shape: tuple[int, ...], enters: bool) -> tuple[int, ...]:
    """[bond, inputs, outputs, bond]"""
    before, mode, behind = shape
    return (before, mode, 1, behind) if enters else (before, 1, mode, behind)


def of_block(shape: tuple[int, ...], enters: bool) -> tuple[int, ...]:
    """[bond, outputs, inputs, bond]"""
    before, mode, behind = shape
    return (before, 1, mode, behind) if enters else (before, mode, 1, behind)


def tensorly_tensor(x: Any, cores: Sequence[Any], bias: Any) -> Any:
    """By the format of tensors."""
    import tensorly
    import torch

    return torch.addmm(bias, x, tensorly.tt_tensor.tt_to_tensor(cores).reshape(x.shape[1], -1))


def tensorly_matrix(x: Any, cores: Sequence[Any], bias: Any) -> Any:
    """By the format of matrices."""
    import tensorly
    import torch

    return torch.addmm(bias, x, tensorly.tt_matrix.tt_matrix_to_matrix(cores))


def tensorly_halves(x: Any, cores: Sequence[Any], bias: Any) -> Any:
    """Two thin matrices, each a tensor whose last, or first, mode is the bond between them and its own mode."""
    import tensorly
    import torch

    cut, size = 0, 1
    while size < x.shape[1]:
        size, cut = size * cores[cut].shape[1], cut + 1
    left, right = [*cores[:cut]], [*cores[cut:]]
    bond = right[0].shape[0]
    left[-1], right[0] = left[-1].reshape(left[-1].shape[0], -1, 1), right[0].reshape(1, -1, right[0].shape[2])
    thin = tensorly.tt_tensor.tt_to_tensor(left).reshape(-1, bond)
    return torch.addmm(bias, x @ thin, tensorly.tt_tensor.tt_to_tensor(right).reshape(bond, -1))


def tltorch_block(x: Any, cores: Sequence[Any], bias: Any) -> Any:
    """What its `FactorizedLinear` calls: inputs and factors in one sum, in the order that torch finds best."""
    from tltorch.functional.factorized_linear import linear_blocktt

    shape = tuple(core.shape[1] for core in cores), tuple(core.shape[2] for core in cores)
    return linear_blocktt(x, SimpleNamespace(factors=cores, tensorized_shape=shape)) + bias


PEERS = {
    "tensorly_tensor": Peer("tensorly", as_ours, tensorly_tensor),
    "tensorly_matrix": Peer("tensorly", of_matrix, tensorly_matrix),
    "tensorly_halves": Peer("tensorly", as_ours, tensorly_halves),
    "tensorly_vmap": Peer("tensorly", as_ours, tensorly_halves, at_once=True),
    "tltorch": Peer("tltorch", of_block, tltorch_block),
}


class Steps:
    """The job, ready for either way; `values` [clients, ...] by the names of our tensors."""

    def __init__(self, job: Job, peer: Peer) -> None:
        import torch

        from wfl_sim.learning.adapters import TensorTrainLayer
        from wfl_sim.methods.tensortrain import TensorTrain

        if peer.module in ("tensorly", "tltorch"):
            import_module("tensorly").set_backend("pytorch")
        adapter = TensorTrain(rank=RANK)
        wide, narrow = adapter.modes(WIDTH)
        self._entering = {"down": len(wide), "up": len(narrow)}
        random = np.random.default_rng(0)
        own = [adapter.first(WIDTH, WIDTH, random) for _ in range(job.clients)]
        self._names, self._job, self._peer = [*own[0]], job, peer
        values = {name: torch.from_numpy(np.stack([one[name] for one in own])) for name in self._names}
        torch.manual_seed(0)
        self._y = torch.randn(job.clients, job.rows, WIDTH).requires_grad_()
        self._toward = torch.randn(job.clients, job.rows, WIDTH)
        self._layer = TensorTrainLayer(torch.nn.Linear(WIDTH, WIDTH), adapter)
        self._ours = {name: value.clone().requires_grad_() for name, value in values.items()}
        self._layer.tensors = self._ours
        shaped = {
            name: value.reshape(job.clients, *self._core(name, value.shape[1:])) for name, value in values.items()
        }
        if peer.at_once:
            self._theirs = [{name: value.clone().requires_grad_() for name, value in shaped.items()}]
        else:
            clients = range(job.clients)
            self._theirs = [{n: value[k].clone().requires_grad_() for n, value in shaped.items()} for k in clients]

    def _core(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        way, _, place = name.partition(".")
        return self._peer.core(tuple(shape), int(place) < self._entering[way]) if place.isdigit() else tuple(shape)

    def ours(self) -> tuple[Any, list[Any]]:
        """Outputs, and gradients of inputs and of what is trained."""
        import torch

        out = self._layer.adapted(self._y, self._y)
        return out, [*torch.autograd.grad(out, [self._y, *self._ours.values()], self._toward)]

    def theirs(self) -> tuple[Any, list[Any]]:
        """The same."""
        import torch

        leaves = [value for own in self._theirs for value in own.values()]
        if self._peer.at_once:
            out = torch.func.vmap(self._adapted)(self._y, self._theirs[0])
        elif len(self._theirs) == 1:
            out = self._adapted(self._y.flatten(0, 1), self._theirs[0])[None]
        else:
            out = torch.stack([self._adapted(*one) for one in zip(self._y.unbind(), self._theirs, strict=True)])
        return out, [*torch.autograd.grad(out, [self._y, *leaves], self._toward)]

    def _adapted(self, y: Any, own: dict[str, Any]) -> Any:
        from torch.nn.functional import gelu

        cores = {way: [own[name] for name in self._names if name[len(way) + 1 :].isdigit()] for way in self._entering}
        inner = gelu(self._peer.product(y, cores["down"], own["down.bias"]))
        return self._peer.product(inner, cores["up"], y + own["up.bias"])

    def check(self) -> None:
        """Raise unless both have the same matrices, outputs and gradients."""
        import torch

        with torch.no_grad():
            for way, inputs in (("down", WIDTH), ("up", 64)):
                left, right = self._layer._halves(way)
                names = [name for name in self._names if name.startswith(way) and not name.endswith("bias")]
                own = self._theirs[0]
                cores = [own[name][0] if self._peer.at_once else own[name] for name in names]
                matrix = self._peer.product(torch.eye(inputs), cores, torch.zeros(1, right.shape[2]))
                _same(matrix, (left @ right)[0], MATRIX)
        (ours, gradients), (theirs, others) = self.ours(), self.theirs()
        _same(theirs, ours, OUTPUT)
        if not self._peer.at_once:
            count = len(self._names)
            each = [others[1 + place :: count] for place in range(count)]
            others = [others[0], *(torch.stack(one) for one in each)]
        for one, other in zip(gradients, others, strict=True):
            _same(other.reshape(one.shape), one, OUTPUT)


def _same(found: Any, wanted: Any, most: float) -> None:
    far = float((found - wanted).detach().abs().max() / wanted.detach().abs().max())
    if not far <= most:
        raise SystemExit(f"the two differ by {far:.2g} of the largest entry, where {most:g} is allowed")


def over(name: str, job: Job = ONE) -> Callable[[int], float]:
    """What measures ours over a peer's."""

    def measure(runs: int) -> float:
        import torch

        peer = PEERS[name]
        if find_spec(peer.module) is None:
            return math.nan
        torch.set_num_threads(1)
        steps = Steps(job, peer)
        steps.check()

        def passes(step: Callable[[], Any]) -> Callable[[], None]:
            return lambda: [step() for _ in range(PASSES)] and None

        return paired(passes(steps.ours), passes(steps.theirs), runs)

    return measure


def note(name: str, value: float, runs: int) -> str:
    return "not installed" if math.isnan(value) else ""


BENCHMARKS = (
    Benchmark("over_tensorly_tensor", "1", 1.0, "tensorly, whole matrices", over("tensorly_tensor"), True),
    Benchmark("over_tensorly_matrix", "1", 1.0, "tensorly, whole matrices", over("tensorly_matrix"), True),
    Benchmark("over_tensorly_halves", "1", 1.0, "tensorly, thin matrices", over("tensorly_halves"), True),
    Benchmark("over_tltorch", "1", 1.0, "tensorly-torch with opt_einsum", over("tltorch"), True),
    Benchmark("over_tensorly_10_clients", "1", 1.0, "tensorly, thin matrices, one client after the other",
              over("tensorly_halves", MANY), True),
    Benchmark("over_tensorly_vmap_10_clients", "1", 1.0, "tensorly, thin matrices, torch.func.vmap",
              over("tensorly_vmap", MANY), True),
)  # fmt: skip


if __name__ == "__main__":
    main((__doc__ or "").splitlines()[0], BENCHMARKS, RUNS, note)
