"""What a receiver is asked for."""

from __future__ import annotations

from collections.abc import Container, Sequence

from flowdsl.errors import StreamerError
from flowdsl.model.pending import TopicQuota


def limits_of(quotas: Sequence[TopicQuota], topics: Container[str]) -> dict[str, int]:
    """How many events of each topic may come; a quota of 0 is as good as none. In: the topics that the receiver was made for.
    Raises StreamerError for any other."""
    limits = {quota.topic: quota.limit for quota in quotas if quota.limit > 0}
    if unknown := sorted(topic for topic in limits if topic not in topics):
        raise StreamerError(f"this receiver does not read {', '.join(unknown)}.", remedy="Name it in receiver(...).")
    return limits
