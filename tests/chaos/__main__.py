"""`python -m tests.chaos`: a real fleet on servers of its own, and everything that goes wrong. `python -m tests.chaos soak`: the
same for long, and what it holds afterwards. Each writes report.md and report.json."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from pathlib import Path

from _pytest.outcomes import OutcomeException

from tests.chaos.chaos import SIZES, chaos
from tests.chaos.place import PLACES
from tests.chaos.report import PlaceReport, Report
from tests.chaos.soak import soak
from tests.services import services_required


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # nothing is left running or mounted
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    soaking = options.what == "soak"
    how = f"soak --minutes {options.minutes:g} --rate {options.rate:g}" if soaking else f"--size {options.size}"
    command = f"python -m tests.chaos {how} --seed {seed}{f' --place {options.place}' if options.place else ''}"
    print(f"seed {seed}: {command}", flush=True)
    report = Report(f"Soak, {options.minutes:g} minutes" if soaking else f"Chaos, {options.size}", seed, command)
    began = time.monotonic()
    names = [options.place] if options.place else PLACES[:1] if soaking else PLACES
    for name in names:
        try:
            if soaking:
                found = soak(name, options.minutes, options.rate, seed, options.out / "logs")
            else:
                found = chaos(name, SIZES[options.size], seed, options.out / "logs")
        except OutcomeException as absence:  # a server's command is not installed
            found = PlaceReport(name, skipped=str(absence))
            if services_required():
                found.verdict.wrong.append(str(absence))
        report.places.append(found)
        report.seconds = round(time.monotonic() - began, 1)
        report.write(options.out)
    print(report.markdown())
    for place in report.places:  # once more, where who sees only an end looks
        for wrong in place.verdict.wrong:
            print(f"WRONG in {place.name}: {wrong}")
    return 0 if report.good else 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = parser.add_argument
    add("what", nargs="?", choices=["chaos", "soak"], default="chaos")
    add("--size", choices=list(SIZES), default="smoke", help="of the chaos: two minutes, ten, or a night (default: smoke)")
    add("--minutes", type=float, default=60, help="of the soak's load (default: 60)")
    add("--rate", type=float, default=15, help="of the soak: runs started a second (default: 15)")
    add("--seed", type=int, help="of what is done to whom in which order (default: a new one)")
    add("--place", choices=PLACES, help="one alone (default: all; of the soak: the first)")
    add("--out", type=Path, default=Path("build/chaos"), help="a folder for the reports (default: build/chaos)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
