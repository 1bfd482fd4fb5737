"""What a worker serves over HTTP, to clients that behave as none should."""

from __future__ import annotations

import re
import socket

import pytest
from prometheus_client import CollectorRegistry

from flowdsl.cli import telemetry
from flowdsl.cli.telemetry import Health, serving

PATIENCE = 30.0


def test_a_connection_that_asks_nothing_is_closed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(telemetry, "SILENCE", 0.05)
    with serving("127.0.0.1", 0, CollectorRegistry(), lambda: Health(alive=True, ready=True)):
        found = re.search(r":(\d+)/metrics", capsys.readouterr().err)
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1])), PATIENCE) as line:
            assert line.recv(1) == b""
