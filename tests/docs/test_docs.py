"""The pages in docs/ name what there is: every adapter's schemes, commands, files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flowdsl.cli.main import app
from flowdsl.engine.discovery import ROLES, STORES, STREAMERS, schemes

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "reference").glob("*.md"),
        ROOT / "benchmarks" / "README.md",
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    ]
)
CHOOSING = (ROOT / "docs" / "choosing.md").read_text("utf-8")


def section(heading: str) -> str:
    return CHOOSING.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize(("heading", "group"), [("Stores", STORES), ("Streamers", STREAMERS), ("Role schedulers", ROLES)])
def test_every_scheme_of_an_adapter_is_in_the_table(heading: str, group: str) -> None:
    cells = [line.split("|")[2] for line in section(heading).splitlines() if line.startswith("|") and "`" in line.split("|")[2]]
    named = {scheme.partition("+")[0] for cell in cells for scheme in re.findall(r"`([a-z+]+)`", cell)}

    assert named == set(schemes(group))


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_commands_exist(page: Path) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"`flowdsl ([a-z][a-z-]*)", page.read_text("utf-8")):
        assert name in commands, name


def test_the_python_of_the_page_on_diagrams_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "diagrams.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"block_{number}.py").write_text(block)
        command = [sys.executable, "-W", "error", f"block_{number}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block
    assert len(blocks) == 2


def test_the_readme_leads_to_the_pages() -> None:
    assert "](docs/index.md)" in (ROOT / "README.md").read_text("utf-8")
