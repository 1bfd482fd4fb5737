"""`python -m flowdsl.testing.simulation`: many seeds, or one that failed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from flowdsl.clock import SystemClock
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.plan import Plan, StoreKind
from flowdsl.testing.simulation.shrink import shrink
from flowdsl.testing.simulation.simulate import Report, failing, simulate
from flowdsl.testing.simulation.workloads import WORKLOADS

BATCH = 50
SHOWN = 5
"""Failures after which no more seeds are begun."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The number of failures, at most 1, as an exit code."""
    given = _parser().parse_args(arguments)
    store = StoreKind(given.store)
    if given.seed is None:
        return _many(range(given.first, given.first + given.seeds), store, given.jobs)
    plan = _plan(given, store)
    report = simulate(plan, story=given.story)
    for line in report.story:
        print(line)
    print(report)
    if report.violations and not given.story:
        _shrunk(report)
    return 1 if report.violations else 0


def _many(seeds: range, store: StoreKind, jobs: int) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    failed: list[int] = []
    for count, bad in _batches(seeds, store, jobs):
        failed += bad
        sys.stderr.write(f"\r{count} of {len(seeds)} seeds, {len(failed)} failed, {clock.monotonic() - began:.0f} s")
        sys.stderr.flush()
        if len(failed) >= SHOWN:
            break
    sys.stderr.write("\n")
    for seed in failed[:SHOWN]:
        report = simulate(Plan.draw(seed, store))
        print(report)
        _shrunk(report)
    print(f"{len(failed)} failures from seed {seeds.start} to {seeds.stop - 1}")
    return 1 if failed else 0


def _batches(seeds: range, store: StoreKind, jobs: int) -> Iterator[tuple[int, list[int]]]:
    """How many seeds are done, and which of the last ones failed."""
    batches = [seeds[start : start + BATCH] for start in range(0, len(seeds), BATCH)]
    done = 0
    if jobs == 1:
        for batch in batches:
            done += len(batch)
            yield done, failing(batch, store)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for batch, bad in zip(batches, pool.map(partial(failing, store=store), batches), strict=True):
            done += len(batch)
            yield done, bad


def _shrunk(report: Report) -> None:
    broken = {violation.invariant for violation in report.violations}

    def fails(plan: Plan) -> int | None:
        again = simulate(plan)
        return len(again.fired) if broken & {violation.invariant for violation in again.violations} else None

    small = shrink(report.plan, len(report.fired), fails)
    if small != report.plan:
        print("smaller:", simulate(small))


def _plan(given: argparse.Namespace, store: StoreKind) -> Plan:
    plan = Plan.draw(given.seed, store)
    for name in ("workload", "workers", "clients", "runs", "rounds", "streamer", "handoff", "one_machine", "interruptions"):
        value = getattr(given, name)
        if value is not None:
            plan = plan.but(**{name: value})
    for name in ("intensity", "most_faults"):
        value = getattr(given, name)
        if value is not None:
            plan = plan.but(**{name: value})
    if given.faults is not None:
        names = [] if given.faults == "none" else given.faults.split(",")
        plan = plan.but(faults=frozenset(Fault(name) for name in names))
    return plan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flowdsl.testing.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many (default: 500)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share them (default: 1)")
    parser.add_argument("--store", default=StoreKind.MEMORY.value, choices=[kind.value for kind in StoreKind])
    parser.add_argument("--seed", type=int, help="only this one; what follows changes its plan")
    parser.add_argument("--story", action="store_true", help="tell everything that happens")
    parser.add_argument("--workload", choices=list(WORKLOADS))
    for name in ("workers", "clients", "runs", "rounds", "most-faults"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("interruptions", "intensity"):
        parser.add_argument(f"--{name}", type=float)
    for name in ("streamer", "handoff", "one-machine"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction)
    parser.add_argument("--faults", help=f"none, or some of {','.join(fault.value for fault in Fault)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
