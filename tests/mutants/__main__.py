"""`python -m tests.mutants`: each mutant is built and looked for; the table says what found it."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.mutants.engine_mutants import ENGINE_MUTANTS
from tests.mutants.mutant import Mutant, Suite
from tests.mutants.store_mutants import STORE_MUTANTS
from tests.mutants.workshop import Finding, judge

MUTANTS = (*STORE_MUTANTS, *ENGINE_MUTANTS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name holds this text")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (default: 1)")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.only in mutant.name]
    suites = tuple(suite for suite in Suite if any(suite in mutant.suites for mutant in chosen))
    suite, finding = judge(None, suites)
    if suite is not None:
        print(f"the {suite.value} fails without any mutant: {finding.what}")
        return 2
    print(f"without any mutant: nothing found, {finding.seconds:.0f} s", flush=True)
    print("| mutant | breaks | found by | with | seconds |\n|---|---|---|---|---|")
    survivors = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        for mutant, (found_by, what) in zip(chosen, pool.map(partial(_judge), chosen), strict=True):
            survivors += found_by is None
            by = found_by.value if found_by is not None else "**nothing**"
            print(f"| {mutant.name} | {mutant.why} | {by} | {what.what} | {what.seconds:.0f} |", flush=True)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} mutants found")
    return 1 if survivors else 0


def _judge(mutant: Mutant) -> tuple[Suite | None, Finding]:
    return judge(mutant, mutant.suites)


if __name__ == "__main__":
    sys.exit(main())
