"""What a worker tells over HTTP when asked to: metrics for Prometheus, health for whoever restarts and balances."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from flowdsl.cli.console import note
from flowdsl.cli.problem import UsageProblem

log = logging.getLogger("flowdsl.cli")


class Health(msgspec.Struct, frozen=True):
    """How a worker, or a group of them, is."""

    alive: bool
    """False: it should be replaced (/livez answers 503)."""
    ready: bool
    """It takes work (/readyz answers 503 while it does not: starting, draining)."""
    detail: str = ""


SILENCE = 10.0
"""Seconds after which a connection that asks nothing is closed, and the thread that waits for it with it."""


@contextmanager
def serving(
    host: str,
    port: int | None,
    registry: CollectorRegistry,
    health: Callable[[], Health],
    alive: Callable[[], Health] | None = None,
) -> Generator[None]:
    """Serve /metrics, /livez and /readyz while the block runs; nothing is opened without a port. In: `alive`, asked for /livez;
    None: `health` is. Raises UsageProblem when the port cannot be had."""
    if port is None:
        yield
        return

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif path in ("/livez", "/readyz"):
                found = (alive or health)() if path == "/livez" else health()
                fine = found.alive if path == "/livez" else found.ready
                self._answer(200 if fine else 503, "application/json", msgspec.json.encode(found))
            else:
                self._answer(404, "text/plain; charset=utf-8", b"There are /metrics, /livez and /readyz.\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug("%s %s", self.address_string(), format % args)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    try:
        server = Server((host, port), Handler)
    except OSError as error:
        raise UsageProblem(
            f"metrics cannot be served at {host}:{port}: {error.strerror}.",
            remedy="Choose another --metrics-port or --metrics-host.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="flowdsl-telemetry", daemon=True)
    thread.start()
    note(f"Metrics at http://{host}:{server.server_port}/metrics")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
