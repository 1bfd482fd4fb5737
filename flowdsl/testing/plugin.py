"""The pytest plugin: found by pytest through its entry point, and light, since every test run imports it."""

from __future__ import annotations

import pytest

# A failing contract should say what it compared, as a test of one's own does.
pytest.register_assert_rewrite("flowdsl.testing.contracts")
