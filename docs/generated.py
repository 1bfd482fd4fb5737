"""Parts of the reference that are read off the code when the site is built. A Sphinx extension:

```{generated} commands
```
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, ClassVar

from docutils import nodes
from prometheus_client import CollectorRegistry
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata
from typer.main import get_command

from flowdsl.cli.exit_code import MEANINGS, OF_ERRORS
from flowdsl.cli.main import app as command_line
from flowdsl.engine.discovery import ROLES, STORES, STREAMERS
from flowdsl.engine.metrics import Metrics
from flowdsl.graph.markdown import code, escaped, grid
from flowdsl.model.limits import MAX_EVENT, MAX_NOTE, MAX_PAYLOAD, MAX_TEXT

PARTS = {STORES: "Stores", STREAMERS: "Streamers", ROLES: "Role schedulers"}


def commands() -> str:
    """Every command with its own help."""
    return "\n\n".join(part for path, context in _contexts() for part in _command(path, context))


def exit_codes() -> str:
    """The exit codes, and the errors that end in each."""
    rows = []
    for exit_code, meaning in MEANINGS.items():
        errors = ", ".join(code(kind.__name__) for kind, of in OF_ERRORS if of is exit_code)
        rows.append([str(exit_code.value), escaped(meaning), errors])
    return grid([["code", "means", "errors"], *rows])


def metrics() -> str:
    """Every series with its labels."""
    registry = CollectorRegistry()
    made = Metrics(registry)
    made.observe_depths(dict)
    labels = {each._name: each._labelnames for each in vars(made).values() if hasattr(each, "_labelnames")}
    rows: list[list[str]] = []
    for each in registry.collect():
        of_it = ", ".join(code(name) for name in labels.get(each.name, DEPTH_LABELS))
        rows.append([code(each.name), each.type, of_it, escaped(each.documentation)])
    return grid([["name", "kind", "labels", "what it is"], *sorted(rows)])


DEPTH_LABELS = ("workflow_name", "status")
"""Of the queue's series, which are made at each scrape."""


def addresses() -> str:
    """The schemes of URLs, and what the functions that open them say of the rest."""
    return "\n\n".join(part for group, title in PARTS.items() for part in _addresses(group, title))


def limits() -> str:
    """What every store can hold."""
    rows = [
        ["an object, the body of an item", f"{MAX_PAYLOAD:,} bytes"],
        ["an event that a step publishes", f"{MAX_EVENT:,} bytes"],
        ["a reason, an error, an actor, a metadata value", f"{MAX_NOTE:,} characters"],
        ["an id, a name, a status, a tag, a metadata key", f"{MAX_TEXT:,} characters"],
    ]
    return grid([["what", "at most"], *rows])


GENERATORS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "exit-codes": exit_codes,
    "metrics": metrics,
    "addresses": addresses,
    "limits": limits,
}


def _contexts() -> Iterator[tuple[str, Any]]:
    """Every command that is not hidden, groups before what is in them, with the words that call it. Its classes are click's or,
    with a later Typer, Typer's own."""
    command: Any = get_command(command_line)
    waiting = [("flowdsl", command, None)]
    while waiting:
        path, command, parent = waiting.pop(0)
        context = command.make_context(path.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
        yield path, context
        inner = [(f"{path} {name}", each, context) for name, each in getattr(command, "commands", {}).items() if not each.hidden]
        waiting[0:0] = inner


def _command(path: str, context: Any) -> Iterator[str]:
    command = context.command
    yield f"## {path}"
    yield escaped(inspect.cleandoc(command.help or ""))
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{path} {usage}\n```"
    records = [each.get_help_record(context) for each in command.get_params(context) if not getattr(each, "hidden", False)]
    rows = [[code(words), escaped(" ".join(says.split()))] for words, says in filter(None, records)]
    if rows:
        yield grid([["argument or option", "what it is"], *rows])


def _addresses(group: str, title: str) -> Iterator[str]:
    schemes: dict[Any, list[str]] = {}
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        schemes.setdefault(point.load(), []).append(point.name)
    yield f"## {title}"
    for opened, names in schemes.items():
        yield f"### {', '.join(code(f'{name}://') for name in names)}"
        yield escaped(inspect.cleandoc(opened.__doc__ or "")).replace(r"\`", "`")


class GeneratedDirective(SphinxDirective):
    """{generated} NAME: one of GENERATORS."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {}

    def run(self) -> Sequence[nodes.Node]:
        return self.parse_text_to_nodes(GENERATORS[self.arguments[0]](), allow_section_headings=True)


class PlainObjects(SphinxTransform):
    """Python's `object` in annotations is no link: it would lead to an attribute of that name."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link.get("reftarget") == "object":
                link.replace_self(nodes.Text("object"))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.add_directive("generated", GeneratedDirective)
    app.add_transform(PlainObjects)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
