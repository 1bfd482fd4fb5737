"""The benchmarks run and say everything they promise. What the figures are is not a test's business."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main

KEYS = {
    "runs_per_s",
    "transitions_per_s",
    "trigger_per_s",
    "limit_transitions_per_s",
    "ratio",
    "p50_ms",
    "p99_ms",
    "commit_ms",
    "peak_rss_mb",
    "row_writes_per_transition",
}


def test_a_quick_run_prints_every_figure_for_memory_and_sqlite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["store"] for line in lines] == ["memory", "sqlite"]
    for figures in lines:
        assert figures.keys() >= KEYS
        assert figures["runs_per_s"] > 0
    assert lines[1]["row_writes_per_transition"] > 2


@pytest.mark.parametrize("what", [["latency", "--runs", "5"], ["backlog", "--runs", "1100"], ["idle", "--seconds", "0.2"]])
def test_the_other_measurements_print_a_table(what: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*what, "--store", "memory"]) == 0
    assert "store" in capsys.readouterr().out
