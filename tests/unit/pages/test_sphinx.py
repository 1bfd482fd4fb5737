"""The Sphinx extension, in a real build with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from tests.readers import graphviz
from tests.unit.pages.shop import orders

ROOT = Path(__file__).parents[3]
CONF = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nproject = 'shop'\nextensions = ['flowdsl_docs.sphinx_extension']\n"
PAGE = """
Orders
======

.. flowdsl-graph:: examples.workflows:parcels
   :direction: TB

The page
--------

.. flowdsl-workflow:: tests.unit.pages.shop:orders

The other
---------

.. flowdsl-workflow:: examples.workflows:orders
"""


MERMAID = """
Orders
======

.. code-block:: mermaid

{}

.. code-block:: mermaid

   stateDiagram-v2
       a --> b
"""


def build(folder: Path, page: str, builder: str, path: str | None = None, more: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "conf.py").write_text(CONF + more)
    (folder / "index.rst").write_text(page)
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", builder, str(folder), str(folder / "out" / builder)]
    environment = os.environ if path is None else {**os.environ, "PATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=110)


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["html", "text", "latex", "man", "texinfo"])
def test_two_workflows_and_a_diagram_are_built_without_a_warning(tmp_path: Path, builder: str) -> None:
    graphviz()
    done = build(tmp_path, PAGE, builder)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_html_has_pictures_tables_and_links(tmp_path: Path) -> None:
    graphviz()
    assert build(tmp_path, PAGE, "html").returncode == 0
    page = (tmp_path / "out" / "html" / "index.html").read_text("utf-8")

    assert page.count("<svg ") == 3
    assert 'href="#orders-charge"' in page
    assert 'id="orders-charge"' in page
    assert "The customer has pressed the button." in page


@pytest.mark.slow
def test_without_graphviz_and_in_text_the_diagram_is_drawn_with_characters(tmp_path: Path) -> None:
    assert build(tmp_path, PAGE, "text", path="/nonexistent").returncode == 0
    text = (tmp_path / "out" / "text" / "index.txt").read_text("utf-8")

    assert "● Created" in text
    assert build(tmp_path, PAGE, "html", path="/nonexistent").returncode == 0
    page = (tmp_path / "out" / "html" / "index.html").read_text("utf-8")
    assert "<svg " not in page
    assert "● Created" in page


@pytest.mark.slow
def test_a_workflow_that_is_not_there_is_a_warning_at_its_line(tmp_path: Path) -> None:
    done = build(tmp_path, "X\n=\n\n.. flowdsl-graph:: examples.workflows:parcel\n", "html")

    assert done.returncode != 0
    assert "index.rst:4" in done.stderr
    assert "Did you mean examples.workflows:parcels?" in done.stderr


@pytest.mark.slow
def test_mermaid_of_a_workflow_that_is_named_becomes_its_picture_and_other_mermaid_stays_text(tmp_path: Path) -> None:
    graphviz()
    page = MERMAID.format(indent(orders.graph.mermaid("TB", notes=True), "   "))
    done = build(tmp_path, page, "html", more="flowdsl_workflows = ['tests.unit.pages.shop']\n")
    made = (tmp_path / "out" / "html" / "index.html").read_text("utf-8")

    assert (done.returncode, done.stderr) == (0, "")
    assert made.count("<svg ") == 1
    assert made.count("stateDiagram-v2") == 1
    assert "a --&gt; b" in made


@pytest.mark.slow
def test_a_module_of_workflows_that_is_not_there_ends_the_build(tmp_path: Path) -> None:
    done = build(tmp_path, PAGE, "html", more="flowdsl_workflows = ['tests.unit.pages.shops']\n")

    assert done.returncode != 0
    assert "flowdsl_workflows: " in done.stderr
    assert "tests.unit.pages.shops" in done.stderr
