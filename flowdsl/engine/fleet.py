"""A look at the fleet, from any process that reaches the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from flowdsl.engine.core import Core
from flowdsl.engine.presence import consumers
from flowdsl.model.fleet import Fleet, FleetInstance, FleetLane
from flowdsl.model.pending import TopicDepth
from flowdsl.naming import place_of


def look_at_fleet(core: Core) -> Fleet:
    """Who is alive and what waits, as the store knows it. Raises StoreError."""
    store, namespace = core.store, core.namespace
    said = consumers(core)
    consumed: Counter[str] = Counter()
    for _, counts in said:
        consumed.update(counts or {})
    topics = sorted({*core.topics, *consumed})
    depths = store.depths(namespace, topics)
    return Fleet(
        namespace=namespace,
        at=store.now(),
        instances=tuple(
            FleetInstance(
                instance=instance.owner,
                machine=instance.machine,
                pid=instance.pid,
                expires_at=instance.expires_at,
                consumers=counts,
            )
            for instance, counts in said
        ),
        lanes=tuple(_lane(topic, depths, consumed[topic]) for topic in topics if topic in depths),
    )


def _lane(topic: str, depths: Mapping[str, TopicDepth], consumers: int) -> FleetLane:
    place, depth = place_of(topic), depths[topic]
    return FleetLane(
        topic=topic,
        workflow=place.workflow,
        kind=place.kind,
        name=place.name,
        due=depth.due,
        oldest=depth.oldest,
        waiting=depth.waiting,
        consumers=consumers,
    )
