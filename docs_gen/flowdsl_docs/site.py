"""Workflows to the files of a site."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

import msgspec

from flowdsl.errors import ConfigurationError
from flowdsl.graph.diagram import Diagram
from flowdsl.graph.graphviz import dot, svg_texts
from flowdsl_docs.asyncapi import asyncapi
from flowdsl_docs.blocks import Page
from flowdsl_docs.extract import AnyWorkflow, extract_all
from flowdsl_docs.html import SUFFIX as HTML_SUFFIX
from flowdsl_docs.html import html
from flowdsl_docs.markdown import SUFFIX as MARKDOWN_SUFFIX
from flowdsl_docs.markdown import markdown
from flowdsl_docs.model import WorkflowDoc
from flowdsl_docs.page import index_page, workflow_page

MADE = "Made by `flowdsl docs build`: what is changed here by hand will be lost."
"""In every page, so that a page that is made no more can be told from one that somebody wrote."""
TITLE = "Workflows"
ASYNCAPI = "asyncapi.json"


class Form(StrEnum):
    """What pages are written in."""

    MARKDOWN = "markdown"
    HTML = "html"


def site(workflows: Sequence[AnyWorkflow], forms: Collection[Form] = tuple(Form), title: str = TITLE) -> Mapping[str, str]:
    """The content of every file by its name: a page per workflow and an index in each form, and an AsyncAPI document."""
    documents = extract_all(workflows)
    pages = [index_page(documents, title), *map(workflow_page, documents)]
    files: dict[str, str] = {}
    if Form.MARKDOWN in forms:
        files |= {f"{page.slug}{MARKDOWN_SUFFIX}": f"<!-- {MADE} -->\n\n{markdown(page)}" for page in pages}
    if Form.HTML in forms:
        files |= _html(documents, pages, title)
    files[ASYNCAPI] = msgspec.json.format(msgspec.json.encode(asyncapi(documents, title)), indent=2).decode() + "\n"
    return files


def pictures(diagrams: Sequence[Diagram]) -> Mapping[Diagram, str]:
    """An `<svg>` element per diagram; none at all where pydot or Graphviz is missing."""
    try:
        found = svg_texts([dot(diagram, diagram.fitting) for diagram in diagrams])
    except ConfigurationError:
        return {}
    return dict(zip(diagrams, found, strict=True))


def _html(documents: Sequence[WorkflowDoc], pages: Sequence[Page], title: str) -> Mapping[str, str]:
    drawings = pictures([document.diagram for document in documents])
    head = f"<!doctype html>\n<!-- {MADE} -->\n"
    return {
        f"{page.slug}{HTML_SUFFIX}": html(page, title=title, pages=pages, drawings=drawings).replace("<!doctype html>\n", head, 1)
        for page in pages
    }
