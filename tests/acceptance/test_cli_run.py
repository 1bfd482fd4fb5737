"""`flowdsl run` as a process: what signals, drain times, metrics and stuck steps do to it."""

from __future__ import annotations

import signal
import subprocess
import urllib.request

import pytest

from tests.acceptance.worker_process import FLOWDSL, Workers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_step_finish_gives_the_rest_back_and_ends_with_0(
    workers: Workers, number: signal.Signals
) -> None:
    workers.trigger("orders", "o-1", "input")
    workers.trigger("orders", "o-2", "input")
    worker = workers.start("--drain", "60")
    begun = worker.prints("charging").split()[1]
    other = "o-2" if begun == "o-1" else "o-1"

    worker.process.send_signal(number)
    worker.says("Draining")
    worker.types("go on\n")

    assert worker.ends() == 0, worker.said
    finished, waiting = workers.show(f"orders/{begun}"), workers.show(f"orders/{other}")
    assert (finished["run"]["status"], waiting["run"]["status"]) == ("paid", "new")
    assert [(row["owner"], row["attempts"], row["lapses"]) for row in finished["pending"] + waiting["pending"]] == [
        (None, 0, 0)
    ] * 2


def test_a_second_signal_ends_it_at_once(workers: Workers) -> None:
    workers.trigger("orders", "o-1", "input")
    worker = workers.start("--drain", "60")
    worker.prints("charging o-1")
    worker.process.terminate()
    worker.says("Draining")
    worker.process.terminate()
    worker.process.wait(timeout=60)  # before its input is closed, which would let the step go on

    assert worker.ends() == 143
    assert workers.show("orders/o-1")["run"]["status"] == "new"


def test_a_step_that_outlasts_the_drain_time_is_code_6_and_keeps_its_claim(workers: Workers) -> None:
    workers.trigger("orders", "o-1", "doomsday")
    worker = workers.start("--drain", "0.05")
    worker.prints("charging o-1")
    worker.process.terminate()

    assert worker.ends() == 6
    assert "still running when the drain time was over" in worker.said
    assert workers.show("orders/o-1")["pending"][0]["owner"] is not None


def test_a_pause_waits_for_the_running_step_and_keeps_what_it_did(workers: Workers) -> None:
    workers.trigger("orders", "o-1", "input")
    worker = workers.start("--drain", "60")
    worker.prints("charging o-1")
    paused = workers.cli("pause", "orders/o-1", "--reason", "stock", "--actor", "ada", "--store", "sqlite:///shop.db")
    while_running = workers.show("orders/o-1")["run"]
    listed = workers.cli("runs", "--store", "sqlite:///shop.db")
    worker.types("go on\n")
    worker.process.terminate()

    assert paused.returncode == 0
    assert paused.stdout.startswith("orders/o-1 will be paused when its running step is done")
    assert while_running["requested"] == {"state": "paused", "reason": "stock", "actor": "ada"}
    assert "initiated*" in listed.stdout
    assert "to be paused: stock" in listed.stdout
    assert worker.ends() == 0
    afterwards = workers.show("orders/o-1")["run"]
    assert (afterwards["state"], afterwards["status"], afterwards["reason"]) == ("paused", "paid", "stock")


def test_a_worker_whose_places_are_all_held_by_overdue_steps_ends_with_7(workers: Workers) -> None:
    workers.trigger("stuck", "s-1", "doomsday")
    worker = workers.start()

    assert worker.ends() == 7
    assert "this worker should be replaced" in worker.said
    assert "Traceback" not in worker.said


def test_metrics_are_served_where_it_says_and_only_when_asked(workers: Workers) -> None:
    workers.trigger("orders", "o-1", "nothing")
    worker = workers.start("--metrics-port", "0")
    url = worker.says("Metrics at").split()[-1]
    worker.prints("sending o-1")
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    worker.process.terminate()

    assert url.startswith("http://127.0.0.1:")
    assert "workflow_process_states{" in text
    assert worker.ends() == 0
    assert "Stopped: 1 completed, 0 cancelled, 0 paused, 0 errors." in worker.said

    silent = workers.start()
    silent.says("works on orders, stuck")
    silent.process.terminate()
    assert silent.ends() == 0
    assert "Metrics" not in silent.said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "nowhere:engine"), 2, "there is no module 'nowhere'"),
        (("run", "shop:engine", "--metrics-port", "1", "--metrics-host", "203.0.113.1"), 2, "metrics cannot be served"),
        (("run", "shop:engine", "--log-level", "loud"), 2, "--log-level 'loud' is unknown"),
        (("run", "shop:engine", "--drain", "-1"), 2, "--drain"),
        (("run", "shop:engine", "--drain", "inf"), 2, "--drain inf is no number of seconds"),
        (("run", "shop:engine", "--drain", "nan"), 2, "--drain"),
    ],
)
def test_a_worker_that_cannot_start_says_why_in_one_line(
    workers: Workers, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = workers.cli(*arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert done.stderr.startswith("flowdsl: ")
    assert says in done.stderr


@pytest.mark.parametrize("command", ["runs --help", "--help", "--version", "demo -n 30"])
def test_whatever_is_printed_its_reader_may_go_away(command: str) -> None:
    asked = [*FLOWDSL, *command.split()]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()

    assert (process.returncode, errors) == (141, "")


def test_a_reader_that_goes_away_is_code_141_and_no_traceback(workers: Workers) -> None:
    for number in range(3):
        workers.trigger("orders", f"o-{number}", "nothing")
    listing = subprocess.Popen(
        [*FLOWDSL, "runs", "--json", "--store", "sqlite:///shop.db"],
        cwd=workers.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert listing.stdout is not None
    listing.stdout.close()
    _, errors = listing.communicate(timeout=60)

    assert (listing.returncode, errors) == (141, "")
