"""Orders of service: what scheduling theory says of them, on jobs drawn at random, and small cases by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from wfl_sim.serving import MOST_EXACT, ORDERS, Job, Order, best_order, completions, last_end_s

SUM = 1e-12  # relative: sums of a few floats


def drawn(seed, count, release=1.0, tail=1.0):
    random = np.random.default_rng(seed)
    return {
        name: Job(*(float(x) for x in random.random(3) * (release, 0.3, tail) + (0.0, 0.05, 0.0)))
        for name in range(count)
    }


def lots(seed, jobs):
    return dict(zip(jobs, np.random.default_rng(1000 + seed).random(len(jobs)), strict=True))


def last(kind, jobs, seed=0):
    return last_end_s(jobs, completions(kind, jobs, lots(seed, jobs)))


def in_order(jobs, order):
    now, ends = -np.inf, []
    for name in order:
        now = max(now, jobs[name].release_s) + jobs[name].service_s
        ends.append(now + jobs[name].tail_s)
    return max(ends)


def test_a_case_by_hand():
    jobs = {3: Job(0.0, 2.0, 1.0), 1: Job(1.0, 2.0, 5.0), 2: Job(1.0, 1.0, 4.0)}
    # free at 2, when 1 and 2 have arrived: the longer tail first
    assert completions("schrage", jobs) == {3: 2.0, 1: 4.0, 2: 5.0}
    assert completions("fifo", jobs) == {3: 2.0, 1: 4.0, 2: 5.0}  # a tie goes to the smaller number
    # 1 first, though 3 is there before it
    assert completions("ltf", jobs) == {1: 3.0, 2: 4.0, 3: 6.0}
    assert completions("random", jobs, {1: 0.9, 2: 0.1, 3: 0.5}) == {3: 2.0, 2: 3.0, 1: 5.0}
    # 2, 1, 3 ends at 6, 9, 7: late tails before the early job; 1, 2, 3 at 8, 8, 7
    assert best_order(jobs) == (1, 2, 3) and last("exact", jobs) == 8.0
    assert [last(kind, jobs) for kind in ("schrage", "ltf")] == [9.0, 8.0]


@pytest.mark.parametrize("seed", range(20))
def test_exact_is_the_best_of_all_orders(seed):
    jobs = drawn(seed, 6)
    best = min(in_order(jobs, order) for order in permutations(jobs))
    assert last("exact", jobs) == pytest.approx(best, rel=SUM)
    assert in_order(jobs, best_order(jobs)) == pytest.approx(best, rel=SUM)


@pytest.mark.parametrize("seed", range(20))
def test_with_equal_releases_the_longest_tail_first_is_the_best(seed):
    jobs = {name: job._replace(release_s=0.4) for name, job in drawn(seed, 6).items()}
    best = last("exact", jobs)
    assert last("schrage", jobs) == pytest.approx(best, rel=SUM) == pytest.approx(last("ltf", jobs), rel=SUM)
    assert last("fifo", jobs) >= best * (1 - SUM) and last("random", jobs, seed) >= best * (1 - SUM)


def test_schrage_is_never_twice_the_best_and_beats_who_comes_first_on_average():
    # Schrage's bound is twice the optimum; slow clients are late on both sides, as where links are weak both ways
    ratios = {kind: [] for kind in ("schrage", "fifo", "random")}
    for seed in range(60):
        random = np.random.default_rng(seed)
        slow = random.random(6)
        jobs = {
            name: Job(float(s + 0.2 * random.random()), float(0.1 + 0.2 * random.random()), float(s))
            for name, s in enumerate(slow)
        }
        best = last("exact", jobs)
        for kind, found in ratios.items():
            found.append(last(kind, jobs, seed) / best)
    assert max(ratios["schrage"]) < 2.0 and min(map(min, ratios.values())) >= 1 - SUM
    means = {kind: float(np.mean(found)) for kind, found in ratios.items()}
    assert 1.0 <= means["schrage"] < means["fifo"] and means["schrage"] < means["random"]


@pytest.mark.parametrize("kind", ORDERS)
def test_each_is_served_once_and_not_before_it_arrives(kind):
    jobs = drawn(7, 8)
    ends = completions(kind, jobs, lots(7, jobs))
    assert sorted(ends) == sorted(jobs)
    begun = [end - jobs[name].service_s for name, end in ends.items()]
    assert all(b >= jobs[name].release_s * (1 - SUM) for name, b in zip(ends, begun, strict=True))
    assert all(after >= end * (1 - SUM) for after, end in zip(begun[1:], ends.values(), strict=False))


@pytest.mark.parametrize("kind", ["schrage", "fifo", "random"])
def test_the_server_is_not_idle_while_anybody_waits(kind):
    jobs = drawn(9, 8)
    ends = completions(kind, jobs, lots(9, jobs))
    free = -np.inf
    for name, end in ends.items():
        begin = end - jobs[name].service_s
        waiting = min(jobs[other].release_s for other in ends if ends[other] >= end)
        assert begin == pytest.approx(max(free, waiting), rel=SUM)
        free = end


def test_a_list_waits_for_its_next_and_passes_over_who_never_comes():
    jobs = {1: Job(0.0, 1.0, 9.0), 2: Job(0.0, 1.0, 5.0)}
    order = Order("ltf", jobs)
    assert order.next({2: 0.0}, {1}) is None
    assert order.next({2: 0.0}, ()) == 2
    assert order.next({}, {1, 2}) is None
    assert Order("schrage", jobs).next({2: 0.0}, {1}) == 2


def test_the_best_order_of_many_is_not_looked_for():
    with pytest.raises(ValueError, match=f"among {MOST_EXACT} jobs at most; got 9"):
        best_order(drawn(1, 9))
