"""Mermaid's parser for the tests of diagrams: one process for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.readers import Mermaid, own_mermaid


@pytest.fixture(scope="package")
def mermaid_parser() -> Iterator[Mermaid]:
    with own_mermaid() as parser:
        yield parser
