"""The names that processes meet under. Every part is quoted, so no two different things share a name."""

from __future__ import annotations

from urllib.parse import quote


def topic(workflow: str, status: str) -> str:
    """The topic of a status: where its step's rows wait. The namespace is a column of its own."""
    return f"{quote(workflow, safe='')}/{quote(status, safe='')}"


def role(namespace: str, workflow: str, *parts: str) -> str:
    """The name of a role that one instance holds at a time."""
    return "/".join(quote(part, safe="") for part in (namespace, workflow, *parts))


def consumer_role(namespace: str, workflow: str, status: str, slot: int, slots: int) -> str:
    """The role of consumer number `slot` (from 1) out of `slots` of a status with `parallel_count`."""
    return role(namespace, workflow, status, "consumer", f"{slot}-of-{slots}")


def process_name(status: str, slot: int = 1, slots: int = 1) -> str:
    """The name of a step's consumer in metrics and process states."""
    return f"{status}-consumer-{slot}-of-{slots}"


def connector_role(namespace: str, workflow: str, connector: str, slot: int, slots: int) -> str:
    """The role of consumer number `slot` (from 1) out of `slots` of a connector."""
    return role(namespace, workflow, "connector", connector, "consumer", f"{slot}-of-{slots}")


def connector_process_name(connector: str, slot: int, slots: int) -> str:
    """The name of a connector's consumer in metrics and process states."""
    return f"{connector}-connector-{slot}-of-{slots}"


def connector_place(namespace: str, workflow: str, connector: str) -> str:
    """The name under which a connector reads: of its consumer group, its queue, its row among the places."""
    return f"flowdsl/{role(namespace, workflow, connector)}"
