"""Sphinx's settings for the project's documentation: `nox -s docs` builds it into build/site.

The source folder is the root of the project, so that links between the pages, the README and the examples lead to the same places
here as on a forge. Nothing of the site comes from the network."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import flowdsl  # noqa: E402 - from here, when it is not installed

project = "flowdsl"
author = "flowdsl contributors"
version = release = flowdsl.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "flowdsl_docs.sphinx_extension",
    "docs.generated",
]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/*.md",
    "docs/reference/*.md",
    "docs/workflows/*.md",
    "examples/*/README.md",
    "benchmarks/README.md",
]
exclude_patterns = ["build", ".nox", ".venv", "**/node_modules"]

myst_heading_anchors = 3


flowdsl_workflows = ["examples.workflows", "docs.drawings"]

default_role = "code"  # docstrings mark names with single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
add_module_names = False
toc_object_entries = False

html_theme = "furo"
html_title = f"flowdsl {version}"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_extra_path = ["front"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
smartquotes = False  # two dashes before an option stay two dashes
html_theme_options: dict[str, object] = {"top_of_page_buttons": []}
