"""Run by the wheel session with a Python that has flowdsl installed without extras, outside the checkout.

In: the path of the checkout, from which nothing may come. Imports every public module, loads every entry point, and looks for the
files that must have been shipped beside the code. Ends with 1 and says what is wrong if anything is."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib.metadata import distribution
from pathlib import Path

PACKAGES = ("flowdsl", "flowdsl_sql", "flowdsl_kombu", "flowdsl_redis", "flowdsl_kafka", "flowdsl_etcd", "flowdsl_docs")
OF_EXTRAS = {
    "flowdsl.testing": {"pytest", "_pytest", "hypothesis"},
    "flowdsl_kombu": {"kombu"},
    "flowdsl_redis": {"redis"},
    "flowdsl_kafka": {"confluent_kafka"},
    "flowdsl_etcd": {"etcd3gw", "requests"},
    "flowdsl_docs": {"sphinx", "docutils"},
}
"""What may be missing in a bare install, and the package that needs it."""


def public_modules() -> list[str]:
    names = list(PACKAGES)
    for package in PACKAGES:
        paths = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.walk_packages(paths, f"{package}.", onerror=lambda name: None)]
    run_by_others = (".migrations.", ".__main__")  # by Alembic and by `python -m`
    return [name for name in names if not any(part in name for part in run_by_others)]


def of_an_extra(module: str, error: ModuleNotFoundError) -> bool:
    """Whether the module may miss what it did not find."""
    missing = (error.name or "").partition(".")[0]
    return any(module.startswith(package) and missing in names for package, names in OF_EXTRAS.items())


def main() -> int:
    checkout, environment = Path(sys.argv[1]).resolve(), Path(sys.prefix).resolve()
    wrong: list[str] = []
    imported = 0
    for name in public_modules():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not of_an_extra(name, error):
                wrong.append(f"{name}: {error}")
            continue
        imported += 1
        for place in [module.__file__] if module.__file__ else module.__path__:
            path = Path(place).resolve()  # the environment itself may lie inside the checkout
            if path.is_relative_to(checkout) and not path.is_relative_to(environment):
                wrong.append(f"{name} came from the checkout: {path}")
    found = distribution("flowdsl")
    for point in found.entry_points:
        if point.group != "pytest11":
            try:
                point.load()
            except (ImportError, AttributeError) as error:
                if isinstance(error, ModuleNotFoundError) and of_an_extra(point.module, error):
                    continue
                wrong.append(f"the entry point {point.group}:{point.name}: {error}")
    shipped = {str(file) for file in found.files or ()}
    wrong += [f"{package}/py.typed is not shipped" for package in PACKAGES if f"{package}/py.typed" not in shipped]
    if "flowdsl_docs/style.css" not in shipped:
        wrong.append("the style of HTML pages is not shipped")
    if not any(file.startswith("flowdsl_sql/migrations/versions/") and file.endswith(".py") for file in shipped):
        wrong.append("no migration is shipped")
    print(f"{imported} modules imported from {sys.prefix}", *wrong, sep="\n  ")
    return 1 if wrong else 0


sys.exit(main())
