"""What is kept of a run of the chaos: a JSON file for machines, a Markdown file for people."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.verdict import Verdict


@dataclass
class Deed:
    """What was done, at how many seconds after the fleet's beginning, and how long it took until it was undone."""

    at: float
    took: float
    what: str
    how: str


@dataclass
class PlaceReport:
    """What happened in one place."""

    name: str
    deeds: list[Deed] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Faults that could not be had: why."""
    verdict: Verdict = field(default_factory=Verdict)
    skipped: str = ""
    """Why nothing was done; empty: it was."""


@dataclass
class Report:
    """In: the name of what was run, its seed, the command that repeats it."""

    title: str
    seed: int
    command: str
    places: list[PlaceReport] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not any(place.verdict.wrong for place in self.places) and any(not place.skipped for place in self.places)

    def write(self, folder: Path) -> None:
        """Two files, report.json and report.md."""
        folder.mkdir(parents=True, exist_ok=True)
        data = {**asdict(self), "good": self.good, "python": platform.python_version(), "system": platform.platform()}
        (folder / "report.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        (folder / "report.md").write_text(self.markdown(), "utf-8")

    def markdown(self) -> str:
        lines = [f"# {self.title}", "", f"Verdict: **{'every promise was kept' if self.good else 'NOT GOOD'}**", ""]
        lines += [f"- Seed {self.seed}, {self.seconds:.0f} s, Python {platform.python_version()}, {platform.platform()}"]
        lines += [f"- Again: `{self.command}` (the seed decides what is done to whom in which order; machines decide the rest)"]
        for place in self.places:
            lines += ["", f"## {place.name}", ""]
            if place.skipped:
                lines += [f"Not run: {place.skipped}"]
                continue
            lines += [f"- **WRONG** {wrong}" for wrong in place.verdict.wrong] or ["Nothing lost, stuck, doubled or out of turn."]
            lines += [
                "",
                "| figure | |",
                "|---|---|",
                *(f"| {name} | {value} |" for name, value in place.verdict.figures.items()),
            ]
            lines += ["", "| at s | took s | what was done | how |", "|---|---|---|---|"]
            lines += [f"| {deed.at:.1f} | {deed.took:.1f} | {deed.what} | {deed.how} |" for deed in place.deeds]
            lines += ["", *(f"- Not had here: {what}: {why}" for what, why in place.absent.items())]
        return "\n".join(lines) + "\n"
