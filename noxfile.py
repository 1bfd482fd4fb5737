"""The sessions of flowdsl's house: `nox -l` lists them, `nox -s lint types` runs some. CONTRIBUTING.md has a table of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nox
from packaging.requirements import Requirement

ROOT = Path(__file__).parent
OLDEST = "3.11"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
MIGRATIONS = "adapters/flowdsl_sql/migrations/versions"
ORDER_EXAMPLE = "examples.order_processor"
OF_THAT_TIME = ["click==8.3.0", "check-jsonschema==0.38.0"]
"""Constraints of minimum_versions on what only our dependencies and our tests' tools need: with a newer click than that, old
typer warns, and warnings are errors; newer checkers of schemas want a newer click."""

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "imports", "tests"]
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "uv|virtualenv"  # uv, where it is installed, takes a tenth of the time
# As pip does: a program that takes warnings for errors would meet those of old packages' sources when it compiles them itself.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
nox.options.error_on_missing_interpreters = False


def offer_pyenv_versions() -> None:
    """Let pyenv's shims answer for every installed minor version, newest patch of each, the running one first."""
    found: dict[tuple[int, int], tuple[int, str]] = {}
    for folder in (Path.home() / ".pyenv" / "versions").glob("3.*"):
        if match := re.fullmatch(r"3\.(\d+)\.(\d+)", folder.name):
            minor, patch = int(match[1]), int(match[2])
            if patch >= found.get((3, minor), (-1, ""))[0]:
                found[3, minor] = (patch, folder.name)
    names = [name for key, (_, name) in sorted(found.items()) if key >= (3, 11)]
    if names and "PYENV_VERSION" not in os.environ:
        names.sort(key=lambda name: not sys.version.startswith(name))
        os.environ["PYENV_VERSION"] = ":".join(names)
    for name in names:  # and where the shims are not on the PATH, its own folder is
        os.environ["PATH"] += os.pathsep + str(Path.home() / ".pyenv" / "versions" / name / "bin")


offer_pyenv_versions()


def pinned(*names: str) -> list[str]:
    """The requirements that the dev extra states for these distributions."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["dev"]
    found = [text for text in extra if Requirement(text).name in names]
    assert len(found) == len(names), f"the dev extra lacks one of {names}"
    return found


TEST_TOOLS = pinned("attrs", "check-jsonschema", "kubernetes-validate", "moto", "pytest-timeout", "pytest-xdist")
"""What the tests need beside the extra `all`; the checkers of the dev extra are many times as large."""


def existing(*names: str) -> list[str]:
    """Those of the named files and folders (with Python files in them) that exist."""
    return [name for name in names if (ROOT / name).is_file() or any((ROOT / name).rglob("*.py"))]


def required_services() -> dict[str, str]:
    return {"FLOWDSL_REQUIRE_SERVICES": "1"}


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Every test, on every Python that is installed. Arguments after -- go to pytest."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and the usual mistakes: ruff check, ruff format --check. Prints the longest files."""
    session.install(*pinned("ruff"))
    session.run("python", "-m", "tests.house.source")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over everything; pyright, as strict, over what users import or read."""
    session.install("-e", ".[dev]")
    session.run("mypy", *existing("flowdsl", "adapters", "docs_gen", "docs", "examples", "benchmarks", "tests", "noxfile.py"))
    session.run("pyright", "--pythonpath", session_python(session), env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})


@nox.session
def imports(session: nox.Session) -> None:
    """Imports go downward only: import-linter."""
    session.install("-e", ".", *pinned("import-linter"))
    session.run("lint-imports", "--no-cache")


@nox.session
def contracts(session: nox.Session) -> None:
    """The contract suites over every store, streamer and role scheduler. A missing server fails."""
    session.install("-e", ".[all]", *TEST_TOOLS)
    session.run(
        "python",
        "-m",
        "pytest",
        "-q",
        "-n",
        "auto",
        "--dist",
        "worksteal",
        "tests/contracts",
        *session.posargs,
        env=required_services(),
    )


@nox.session
def examples(session: nox.Session) -> None:
    """Every example as its reader would start it. Their tests are among the others."""
    session.install("-e", ".[all]")
    started = sorted(main.parent.name for main in (ROOT / "examples").glob("*/__main__.py"))
    if not started:
        session.error("no example has a __main__.py")
    for name in started:
        session.run("python", "-W", "error", "-m", f"examples.{name}")


@nox.session
def docs(session: nox.Session) -> None:
    """The committed pages and diagrams are those that would be made now, and the site is built from them without a warning, into
    build/site. `-- build` makes the pages and diagrams."""
    session.install("-e", ".[all,site]")
    (verb,) = session.posargs or ["check"]
    pages = ["--out", "docs/workflows", "--format", "markdown", "--title", "Workflows of the examples"]
    filled = ["--inject", "README.md", "--inject", "examples/order_processor/README.md", "--inject", "docs/diagrams.md"]
    session.run("flowdsl", "docs", verb, "examples.workflows", *pages, *filled)
    session.run("flowdsl", "docs", verb, "docs.drawings", "--inject", "docs/architecture.md")
    site = ROOT / "build" / "site"
    shutil.rmtree(site, ignore_errors=True)
    built = ["-c", "docs", "-d", str(ROOT / "build" / "doctrees"), str(ROOT), str(site)]
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-q", "-E", *built)
    session.run("python", "-m", "tests.house.built_site", str(site))


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist and the wheel; each, installed alone and without extras, imports whole and runs the order example."""
    session.install("build")
    tmp = fresh_folder(session)
    dist = tmp / "dist"
    session.run("python", "-m", "build", "--outdir", str(dist), str(ROOT), silent=True)
    elsewhere = tmp / "elsewhere"
    shutil.copytree(ROOT / "examples", elsewhere / "examples", ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
    built = [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]
    if len(built) != 2:
        session.error(f"expected a wheel and an sdist, got {built}")
    for archive in built:
        python = clean_venv(session, tmp / archive.suffix.strip("."))
        session.run(python, "-m", "pip", "install", "-q", str(archive), external=True)
        with session.chdir(elsewhere):
            session.run(python, str(ROOT / "tests" / "house" / "bare_install.py"), str(ROOT), external=True)
            session.run(python, "-m", ORDER_EXAMPLE, external=True)


@nox.session(python=OLDEST)
def minimum_versions(session: nox.Session) -> None:
    """What touches a dependency - the contract suites, the tests of each part, the examples, the documents -, without the slow
    tests, with the oldest version of each that pyproject.toml allows, on the oldest Python."""
    constraints = fresh_folder(session) / "minimum.txt"
    constraints.write_text("\n".join([*lower_bounds(), *OF_THAT_TIME]) + "\n", encoding="utf-8")
    session.install("-c", str(constraints), "-e", ".[all]", *TEST_TOOLS)
    chosen = ["-m", "not slow", "tests/contracts", "tests/unit", "tests/examples", "tests/docs"]
    session.run("python", "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *chosen, *session.posargs)


@nox.session
def half_migrated(session: nox.Session) -> None:
    """A rolling deploy: the code of the previous schema version and today's, side by side on one database."""
    session.install("-e", ".[all]", *TEST_TOOLS)
    versions = sorted(path.name for path in (ROOT / MIGRATIONS).glob("[!_]*.py"))
    if not versions:
        session.error(f"no migration in {MIGRATIONS}")
    before = previous_schema(versions)
    if before is None:
        if len(versions) != 1:
            session.error(f"{len(versions)} migrations, and no commit in the history has fewer: is this a shallow clone?")
        session.log(f"only one schema version exists ({versions[0]}): nothing to migrate from")
        return
    session.log(f"the previous schema version is that of commit {before}")
    tmp = fresh_folder(session)
    old = tmp / "old"
    old.mkdir()
    archive = subprocess.run(["git", "archive", before], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(old)], input=archive, check=True)
    python = clean_venv(session, tmp / "venv")
    session.run(python, "-m", "pip", "install", "-q", f"{old}[postgresql,mysql]", external=True)
    session.run("python", "tests/house/half_migrated.py", str(python), str(tmp / "half.db"))


@nox.session
def matrix(session: nox.Session) -> None:
    """Fleets under kill -9 on every pair of store and streamer, with and without handoff: about twenty minutes."""
    session.install("-e", ".[all]", *TEST_TOOLS)
    chosen = ["-rA", "tests/acceptance/test_fleet_kill.py", *session.posargs]
    session.run("python", "-m", "pytest", "-q", *chosen, env={**required_services(), "FLOWDSL_KILL_MATRIX": "1"})


@nox.session
def chaos(session: nox.Session) -> None:
    """A real fleet on servers of its own, and everything that goes wrong, for two minutes; a missing server's command fails.
    `-- --size standard` takes ten, `-- --size night` a night. The reports: build/chaos."""
    session.install("-e", ".[all]", *TEST_TOOLS)
    session.run("python", "-m", "tests.chaos", *(session.posargs or ["--size", "smoke"]), env=required_services())


@nox.session
def soak(session: nox.Session) -> None:
    """Mixed load with faults for an hour; then memory, threads, handles and tables are what they were. `-- --minutes 10`."""
    session.install("-e", ".[all]", *TEST_TOOLS)
    arguments = ["--out", "build/soak", *session.posargs]
    session.run("python", "-m", "tests.chaos", "soak", *arguments, env=required_services())


@nox.session
def simulation(session: nox.Session) -> None:
    """Whole fleets in one thread, from 500 seeds over the memory store and 25 over SQLite, checked against every promise. What
    follows -- goes to the simulation instead, e.g. `--seeds 200000 --jobs 2` for a night."""
    session.install("-e", ".")
    simulate = ["python", "-m", "flowdsl.testing.simulation", "--jobs", str(os.cpu_count() or 1)]
    if session.posargs:
        session.run(*simulate, *session.posargs)
        return
    session.run(*simulate, "--seeds", "500")
    session.run(*simulate, "--seeds", "25", "--first", "1000000", "--store", "sqlite")


@nox.session
def bench(session: nox.Session) -> None:
    """A quick run of the benchmarks, to see that they run; `python -m benchmarks` gives the numbers."""
    session.install("-e", ".[all]", *TEST_TOOLS)
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--quick"]))


def lower_bounds() -> list[str]:
    """Constraints that hold every dependency of users, the drivers of the extras included, to its lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    groups = [group for name, group in extras.items() if name not in ("all", "site", "dev")]
    texts = [*project["dependencies"], *(text for group in groups for text in group)]
    bounds: list[str] = []
    for requirement in map(Requirement, texts):
        lowest = [spec.version for spec in requirement.specifier if spec.operator in (">=", "==", "~=")]
        assert len(lowest) == 1, f"{requirement} has no lower bound"
        bounds.append(f"{requirement.name}=={lowest[0]}")
    return bounds


def previous_schema(versions: list[str]) -> str | None:
    """The newest commit that has migrations, but not all of these. None: there is none in the history."""
    log = subprocess.run(
        ["git", "log", "--format=%H", "--", MIGRATIONS], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    for commit in log:
        listed = subprocess.run(
            ["git", "ls-tree", "--name-only", commit, f"{MIGRATIONS}/"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        names = {Path(name).name for name in listed if name.endswith(".py") and not Path(name).name.startswith("_")}
        if names and names < set(versions):
            return commit
    return None


def fresh_folder(session: nox.Session) -> Path:
    """An empty folder of the session's own, in its virtual environment's folder: inside the checkout, ignored by git."""
    folder = Path(session.virtualenv.location) / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def clean_venv(session: nox.Session, folder: Path) -> str:
    """A new virtual environment with pip alone in it. Out: its python."""
    session.run("python", "-m", "venv", str(folder))
    return str(folder / "bin" / "python")


def session_python(session: nox.Session) -> str:
    return str(Path(session.bin) / "python")
