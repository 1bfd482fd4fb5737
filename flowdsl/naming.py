"""The names that processes meet under. Every part is quoted, so no two different things share a name."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote


def topic(workflow: str, status: str) -> str:
    """The topic of a status: where its step's rows wait. The namespace is a column of its own."""
    return f"{quote(workflow, safe='')}/{quote(status, safe='')}"


def timeout_topic(workflow: str, status: str, label: str) -> str:
    """Where the timeouts of a status wait for their time; `label` names one of several."""
    return f"{topic(workflow, status)}/timeout/{quote(label, safe='')}"


def callback_topic(workflow: str, status: str, label: str) -> str:
    """Where callbacks wait that came before their run was in the status."""
    return f"{topic(workflow, status)}/callback/{quote(label, safe='')}"


def hook_topic(workflow: str, event: str, label: str) -> str:
    """Where a hook's rows wait. No status is empty, so this is no status's topic."""
    return f"{quote(workflow, safe='')}//{event}/{quote(label, safe='')}"


def event_topic(workflow: str) -> str:
    """Where events of the user's wait to be published."""
    return f"{quote(workflow, safe='')}//event"


class Place(NamedTuple):
    """What a topic stands for."""

    workflow: str
    kind: str
    """step, timeout, callback, hook, event or deletion."""
    name: str
    """The status of a step, `status/label` of a timeout or callback, `event/label` of a hook; else empty."""


def place_of(topic: str) -> Place:
    """What the functions above have made a topic of."""
    workflow, *rest = (unquote(part) for part in topic.split("/"))
    match rest:
        case ["", kind]:
            return Place(workflow, kind, "")
        case ["", event, label]:
            return Place(workflow, "hook", f"{event}/{label}")
        case [status, kind, label]:
            return Place(workflow, kind, f"{status}/{label}")
        case _:
            return Place(workflow, "step", "/".join(rest))


def user_topic(namespace: str, topic: str) -> str:
    """The name on the streamer of a topic of the user's."""
    return f"{namespace}//{quote(topic, safe='')}"


def deletion_topic(workflow: str) -> str:
    """Where runs wait whose data is to be deleted."""
    return f"{quote(workflow, safe='')}//deletion"


def role(namespace: str, workflow: str, *parts: str) -> str:
    """The name of a role that one instance holds at a time."""
    return "/".join(quote(part, safe="") for part in (namespace, workflow, *parts))


def consumer_role(namespace: str, workflow: str, status: str, slot: int, slots: int) -> str:
    """The role of consumer number `slot` (from 1) out of `slots` of a status with `parallel_count`."""
    return role(namespace, workflow, status, "consumer", f"{slot}-of-{slots}")


def scheduler_role(namespace: str, workflow: str) -> str:
    """The role of who fires a workflow's schedules."""
    return role(namespace, workflow, "scheduler")


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
