"""A port is given once: to one test of one process, as long as that lives."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ports

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from tests.ports import free_port; print(free_port(), flush=True); sys.stdin.read()"


def only(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    """There are no ports but these, and this process has been given none of them yet."""
    monkeypatch.setattr(ports, "PORTS", numbers)
    for number in numbers:
        monkeypatch.delitem(ports._held, number, raising=False)


def test_the_same_port_is_not_given_twice() -> None:
    given = [ports.free_port() for _ in range(50)]

    assert len(set(given)) == 50


def test_a_port_of_another_process_is_passed_over_until_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        its_port = int(other.stdout.readline())
        only(monkeypatch, its_port)

        with pytest.raises(OSError, match="no port of"):
            ports.free_port()
        other.communicate("")

    assert ports.free_port() == its_port


def test_a_port_that_a_server_listens_on_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        only(monkeypatch, server.getsockname()[1])

        with pytest.raises(OSError, match="no port of"):
            ports.free_port()
