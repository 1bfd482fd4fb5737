"""A Sphinx extension. In conf.py: `extensions = ["flowdsl_docs.sphinx_extension"]`, and the project on `sys.path`.

    .. flowdsl-graph:: shop:orders
       :direction: TB

    .. flowdsl-workflow:: shop:orders

The first draws a workflow; the second puts its page, without the title, under the heading where it stands. HTML gets Graphviz's
picture, where Graphviz is there; every other output, and HTML without it, gets the drawing for terminals.

    flowdsl_workflows = ["shop"]

Mermaid blocks that flowdsl made of a workflow of these modules, as in pages by `flowdsl docs build`, become such drawings too, so
that nobody needs Mermaid. A Mermaid block of anything else stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from itertools import chain, count
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from flowdsl.cli.target import load_module, load_workflow, workflows_of
from flowdsl.errors import ConfigurationError, FlowError
from flowdsl.graph.build import Direction
from flowdsl.graph.diagram import Diagram
from flowdsl.graph.graphviz import dot, svg_texts
from flowdsl.graph.terminal import terminal
from flowdsl_docs.docutils_nodes import Nodes
from flowdsl_docs.extract import AnyWorkflow, extract
from flowdsl_docs.fences import Drawn, mermaid_texts
from flowdsl_docs.page import workflow_page


class drawing(nodes.General, nodes.Element):
    """A diagram, as `svg` (None: there is no Graphviz) and as `text`."""


def drawn(diagram: Diagram, direction: Direction | None = None) -> drawing:
    """The node of a diagram."""
    try:
        (svg,) = svg_texts([dot(diagram, direction or diagram.fitting)])
    except ConfigurationError:
        return drawing(svg=None, text=terminal(diagram), title=diagram.title)
    return drawing(svg=svg, text=terminal(diagram), title=diagram.title)


class _OfWorkflow(SphinxDirective):
    """A directive about MODULE:WORKFLOW."""

    required_arguments = 1

    def workflow(self) -> AnyWorkflow:
        try:
            workflow = load_workflow(self.arguments[0])
        except FlowError as error:
            raise self.error(str(error)) from error
        self.env.note_dependency(workflow.place.file)
        return workflow


class GraphDirective(_OfWorkflow):
    """flowdsl-graph."""

    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {
        "direction": lambda text: directives.choice(text, [each.value.lower() for each in Direction])
    }

    def run(self) -> list[nodes.Node]:
        wanted = self.options.get("direction")
        return [drawn(self.workflow().graph.diagram(), None if wanted is None else Direction(wanted.upper()))]


class WorkflowDirective(_OfWorkflow):
    """flowdsl-workflow."""

    def run(self) -> list[nodes.Node]:
        document = extract(self.workflow())
        prefixes = chain([document.slug], (f"{document.slug}-{number}" for number in count(2)))
        free = next(prefix for prefix in prefixes if f"{prefix}-statuses" not in self.state.document.ids)
        made = Nodes(free, drawn).of(workflow_page(document).blocks[1:])
        for section in made:
            for each in section.findall(nodes.section):
                self.state.document.note_explicit_target(each)
        return made


class MermaidBlocks(SphinxTransform):
    """Puts drawings in the place of the Mermaid blocks that show a workflow of flowdsl_workflows."""

    default_priority = 200
    """Before blocks of code are coloured: there is no colouring of Mermaid."""

    def apply(self, **kwargs: Any) -> None:
        known: Mapping[str, Drawn] = self.config.flowdsl_drawn
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                found = known.get(block.astext().strip())
                if found is None:
                    block["language"] = "text"
                else:
                    block.replace_self(drawn(found.diagram, found.direction))


def _load(app: Sphinx, config: Config) -> None:
    """Import the modules of flowdsl_workflows."""
    try:
        workflows = [each for name in config.flowdsl_workflows for each in workflows_of(load_module(name)).values()]
    except FlowError as error:
        raise ExtensionError(f"flowdsl_workflows: {error}") from error
    config.flowdsl_drawn = mermaid_texts(workflows)


def _html(translator: Any, node: drawing) -> None:
    picture = node["svg"] or f"<pre>{escape(node['text'])}</pre>"
    translator.body.append(f'<div class="flowdsl-graph" role="img" aria-label="{escape(node["title"])}">{picture}</div>\n')
    raise nodes.SkipNode


def _elsewhere(translator: Any, node: drawing) -> None:
    nodes.literal_block("", node["text"], language="text").walkabout(translator)
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    text = (_elsewhere, None)
    app.add_node(drawing, html=(_html, None), latex=text, text=text, man=text, texinfo=text)
    app.add_directive("flowdsl-graph", GraphDirective)
    app.add_directive("flowdsl-workflow", WorkflowDirective)
    app.add_config_value("flowdsl_workflows", [], "env", [list])
    app.connect("config-inited", _load)
    app.add_transform(MermaidBlocks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
