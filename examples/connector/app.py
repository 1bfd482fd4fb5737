"""The engine as the command line loads it: it replays dead letters, and starts no connector of its own."""

from __future__ import annotations

from pathlib import Path

from examples.connector.parcels import parcels
from flowdsl import Engine

STORE = f"sqlite:///{Path(__file__).parent / 'parcels.db'}"


def engine() -> Engine:
    return Engine.client(parcels, store=STORE)
