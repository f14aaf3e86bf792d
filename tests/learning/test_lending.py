"""Large arrays go to other processes by their place, once, and are gone when nobody needs them any more."""

from __future__ import annotations

import gc
import os
import pickle

import numpy as np
import pytest

from wfl_sim.learning.lending import LARGE_BYTES, Borrower, Lender, Lent

SIZE = LARGE_BYTES // 4


def params(start=0.0):
    return {
        "base.emb": np.arange(SIZE, dtype=np.float32).reshape(2, -1) + np.float32(start),
        "q.A": np.ones(3, np.float32),
    }


def sent(lender, one):
    """What comes out at the other end, of few bytes."""
    data = pickle.dumps(lender.lent(one))
    assert len(data) < 1000
    return pickle.loads(data)


def test_what_is_taken_is_what_was_lent_and_the_same_memory_each_time():
    lender, borrower, one = Lender(), Borrower(), params()
    (first,), (again,) = (borrower.taken([sent(lender, dict(one))]) for _ in range(2))
    for name, value in one.items():
        assert first[name].dtype == value.dtype and np.array_equal(first[name], value)
    assert np.shares_memory(first["base.emb"], again["base.emb"])
    other = params(1.0)
    two = borrower.taken([sent(lender, one), sent(lender, other)])
    assert two[0]["base.emb"] is first["base.emb"] and two[1]["base.emb"][0, 0] == 1.0
    two[0]["base.emb"][:] = -1.0  # a copy of its own: nobody else sees it
    assert np.array_equal(Borrower().taken([sent(lender, one)])[0]["base.emb"], one["base.emb"])


def test_no_place_is_ever_of_another_array():
    """Also where the next array lies where the last one did, and its memory has the same name."""
    lender, borrower, places = Lender(), Borrower(), set()
    for number in range(3):
        one = params(float(number))
        places.add(lender.lent(one)["base.emb"])
        assert borrower.taken([sent(lender, one)])[0]["base.emb"][0, 0] == number
        path = lender.lent(one)["base.emb"].path
        assert os.path.exists(path)
        del one
        gc.collect()
        assert not os.path.exists(path)
    assert len({place.number for place in places}) == 3


@pytest.mark.parametrize("gone", [AttributeError, OSError])
def test_without_such_memory_arrays_go_as_they_are(monkeypatch, gone):
    def refuse(name):
        raise gone(name)

    monkeypatch.setattr(os, "memfd_create", refuse)
    one = params()
    lent = Lender().lent(one)
    assert not any(isinstance(value, Lent) for value in lent.values())
    assert Borrower().taken([lent])[0]["base.emb"] is one["base.emb"]
