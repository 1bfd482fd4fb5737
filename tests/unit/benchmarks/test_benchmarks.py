"""The benchmarks work and print what they promise. Nothing here looks at how fast anything was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from benchmarks import limit
from benchmarks.__main__ import main
from benchmarks.latency import percentile
from benchmarks.scratch import scratch
from tests.services import RABBITMQ, REDIS, broker

ROOT = Path(__file__).parents[3]
THROUGHPUT = {
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
    "cpu_s",
    "store",
    "runs",
    "processes",
    "trigger",
    "handoff",
    "step_ms",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "benchmarks", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, env=environment, check=False)


def figures(*arguments: str) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_throughput_prints_every_figure(store: str) -> None:
    found = figures("throughput", "--store", store, "--runs", "50")

    assert set(found) >= THROUGHPUT
    assert (found["store"], found["runs"]) == (store, 50)
    assert found["transitions_per_s"] == pytest.approx(3 * found["runs_per_s"], abs=1)
    assert found["ratio"] == pytest.approx(found["transitions_per_s"] / found["limit_transitions_per_s"], abs=0.01)
    if store == "sqlite":
        assert found["row_writes_per_transition"] >= 3  # the run, its history, its row
        assert found["commit_ms"] > 0


@pytest.mark.slow
def test_worker_processes_do_the_work_that_a_client_triggers() -> None:
    found = figures("throughput", "--store", "sqlite", "--runs", "50", "--processes", "2", "--trigger", "one", "--handoff", "off")

    assert (found["processes"], found["trigger"], found["handoff"]) == (2, "one", False)
    assert found["peak_rss_mb"] > 0


@pytest.mark.slow
def test_latency_is_told_in_bare_commits() -> None:
    found = figures("latency", "--store", "sqlite", "--runs", "50")

    assert found["p99_ms"] >= found["p50_ms"] > 0
    assert found["p50_in_commits"] > 0
    assert found["p99_to_p50"] >= 1


@pytest.mark.slow
def test_backlog_tells_the_cost_for_each_number_of_waiting_runs() -> None:
    found = figures("backlog", "--store", "memory", "--runs", "1000")

    assert set(found["waiting_1000"]) == {"us_per_run", "cpu_us_per_run", "rss_growth_mb", "peak_rss_mb"}


@pytest.mark.slow
def test_a_drain_works_everything_off_and_tells_memory_and_copies() -> None:
    found = figures("drain", "--store", "sqlite", "--streamer", "kombu+memory://", "--runs", "60", "--left", "0.1")

    assert (found["waiting"], found["left_s"]) == (60, 0.1)
    assert list(found["rss_mb"]) == ["at the start", "after 25 %", "after 50 %", "after 75 %", "after 100 %"]
    assert all(megabytes > 10 for megabytes in found["rss_mb"].values())
    assert 0 < found["published_per_row"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "scheme", "options"), [(REDIS, "", ""), (REDIS, "kombu+", ""), (RABBITMQ, "", "&expires=60")]
)
def test_a_transport_is_measured_beside_what_its_driver_does_by_hand(service: str, scheme: str, options: str) -> None:
    url = f"{scheme}{broker(service)}?prefix=bench-{uuid.uuid4().hex[:8]}.{options}"
    found = figures("transport", "--streamer", url, "--runs", "200")

    rates = {"publishes_per_s", "receives_per_s", "by_hand_publishes_per_s", "by_hand_receives_per_s"}
    assert set(found) == {"streamer", "events", *rates}
    assert all(found[rate] > 0 for rate in rates)


@pytest.mark.slow
def test_throughput_with_a_streamer_tells_what_the_transport_does_by_hand() -> None:
    broker(REDIS)
    found = figures(
        "throughput", "--store", "sqlite", "--runs", "50", "--streamer", f"{REDIS}?prefix=bench-{uuid.uuid4().hex[:8]}."
    )

    assert set(found) > THROUGHPUT
    assert min(found["by_hand_publishes_per_s"], found["by_hand_receives_per_s"]) > 0


@pytest.mark.slow
def test_idle_tells_the_share_of_a_core() -> None:
    found = figures("idle", "--store", "memory", "--seconds", "0.2", "--timers", "30")

    assert found["idle_cpu_percent"] >= 0
    assert found["waiting_timers"] == 30


@pytest.mark.slow
def test_the_stages_of_a_profile_add_up_to_the_whole() -> None:
    found = figures("profile", "--store", "memory", "--runs", "50")

    stages = ("claim", "decode", "body", "encode", "step", "commit", "follow-up", "trigger", "other store calls")
    whole = sum(found[f"{name}_us"] for name in (*stages, "timing", "rest"))
    assert whole == pytest.approx(found["cpu_us_per_transition"], abs=1)
    assert found["commits"] > 0


def test_a_quick_run_measures_memory_and_sqlite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--json"]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["store"] for line in lines] == ["memory", "sqlite"]
    assert all(set(line) >= THROUGHPUT for line in lines)


@pytest.mark.slow
def test_without_json_a_table_is_printed() -> None:
    done = run("throughput", "--store", "memory", "--runs", "50")

    assert done.returncode == 0, done.stderr
    assert "limit_transitions_per_s" in done.stdout
    assert "{" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("throughput", "--store", "memory", "--processes", "2"), "a memory store is one process's"),
        (("throughput", "--store", "sqlite", "--url", "mysql+pymysql://127.0.0.1/x"), "--url is not of sqlite"),
        (("latency", "--store", "postgresql", "--url", "postgresql+psycopg://root@127.0.0.1:1/x"), "no postgresql to measure"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)

    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_limit_whose_compare_and_set_meets_no_run_is_refused() -> None:
    with scratch("sqlite") as url:
        assert limit.by_form("sqlite", url, 0.01)["executemany"] > 0

    def nothing(driver: object, version: int, ids: object) -> int:
        return 0

    with scratch("sqlite") as url, pytest.raises(RuntimeError, match="met 0 of 100"):
        limit._sql("sqlite", url, nothing, 0.01)


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.99, 4), (0.25, 1), (1.0, 4)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert percentile([3, 1, 4, 2], share) == value
