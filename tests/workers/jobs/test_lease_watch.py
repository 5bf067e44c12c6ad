"""Leases under a clock that is set while they run; time is a number here."""

import math

from workers.jobs.lease_watch import Held, LeaseWatch

LEASE_S = 30.0


class World:
    """Two clocks: one that passes, and one that can be set."""

    def __init__(self) -> None:
        self.steady, self.wall = 1000.0, 5_000_000.0
        self.watch = LeaseWatch(lambda: self.steady)

    def pass_(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds

    def overdue(self, *untils: float) -> int:
        leases = [Held(f"job {n}", 1, until, until - self.wall) for n, until in enumerate(untils)]
        return len(self.watch.overdue(leases, LEASE_S))


def test_a_lease_runs_out() -> None:
    world = World()
    until = world.wall + LEASE_S
    assert world.overdue(until) == 0
    world.pass_(29)
    assert world.overdue(until) == 0
    world.pass_(2)
    assert world.overdue(until) == 1


def test_one_that_has_run_out_already_is_overdue_at_first_sight() -> None:
    world = World()
    assert world.overdue(world.wall - 1) == 1


def test_a_clock_that_is_set_forwards_takes_no_job_from_its_worker() -> None:
    world = World()
    until = world.wall + LEASE_S
    world.overdue(until)
    world.wall += 3600
    world.pass_(1)
    assert world.overdue(until) == 0
    renewed = world.wall + LEASE_S
    assert world.overdue(renewed) == 0


def test_nor_a_job_that_was_claimed_just_before_the_step() -> None:
    world = World()
    world.overdue(world.wall + LEASE_S)
    claimed = world.wall + LEASE_S
    world.wall += 3600
    world.pass_(1)
    assert world.overdue(claimed) == 0


def test_a_clock_that_is_set_backwards_keeps_no_job_with_a_dead_worker() -> None:
    world = World()
    until = world.wall + LEASE_S
    world.overdue(until)
    world.wall -= 3600
    world.pass_(LEASE_S + 1)
    assert world.overdue(until) == 1


def test_nor_for_a_process_that_starts_after_the_step() -> None:
    world = World()
    until = world.wall + LEASE_S
    world.wall -= 3600
    assert world.overdue(until) == 0
    world.pass_(LEASE_S + 1)
    assert world.overdue(until) == 1


def test_without_leases_there_is_nothing() -> None:
    assert LeaseWatch().overdue([], math.inf) == []
