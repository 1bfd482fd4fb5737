"""How kombu's transports differ: one table. Nothing else in this package asks which transport it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowdsl_kombu.names import MemoryNames, Names, RedisNames


@dataclass(frozen=True)
class Traits:
    """What a transport can do, and how it wants to be asked."""

    native_routing: bool
    """An exchange copies an event to every queue bound to its topic, confirmed by the broker. False: events are published to each
    queue by its name, and `names` knows which there are."""
    names: Callable[[], Names] | None = None
    prefetch_per_queue: bool = False
    """The broker limits what is fetched ahead queue by queue. False: a queue whose events nobody asks for is not consumed."""
    queue_arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Transport options for kombu."""
    heartbeat: int = 0
    """Seconds; 0: none. kombu asks for none by itself."""
    requests: bool = False
    """The transport answers requests and keeps no connection: its own streamer asks it."""
    longest_name: int = 200
    name_characters: str = r"A-Za-z0-9_.:/%\-"

    def queue(self, prefix: str, name: str, topic: str) -> str:
        """The queue of a receiver name and topic."""
        full = f"{prefix}{name}:{topic}"
        kept = re.sub(f"[^{self.name_characters}]", "-", full)
        if kept == full and len(full) <= self.longest_name:
            return full
        return f"{kept[: self.longest_name - 17]}-{hashlib.sha256(full.encode()).hexdigest()[:16]}"


RABBITMQ = Traits(
    native_routing=True,
    prefetch_per_queue=True,
    queue_arguments={"x-queue-type": "quorum"},
    options={"read_timeout": 30, "write_timeout": 15},
    heartbeat=30,
)
TRAITS: Mapping[str, Traits] = {
    "amqp": RABBITMQ,
    "amqps": RABBITMQ,
    "pyamqp": RABBITMQ,
    "redis": Traits(
        native_routing=False,
        names=RedisNames,
        # A message of a dead consumer comes back when nothing else does: only if receiving ends before kombu's own poll.
        options={"visibility_timeout": 60, "unacked_restore_throttle": 1, "socket_timeout": 30, "health_check_interval": 25},
    ),
    "sqs": Traits(native_routing=False, requests=True, longest_name=80, name_characters=r"A-Za-z0-9_\-"),
    "memory": Traits(native_routing=False, names=MemoryNames, options={"polling_interval": 0.005}),
}
