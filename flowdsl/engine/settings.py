"""The settings of an engine, and which workflows go together in one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypedDict

from prometheus_client import CollectorRegistry

from flowdsl.clock import Clock, IdSource
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.connector_processes import Sources
from flowdsl.engine.membership import DEFAULT_BEAT, DEFAULT_LAPSE
from flowdsl.engine.starter import check_workflow
from flowdsl.engine.unknown_option import refuse_unknown_options
from flowdsl.errors import ConfigurationError

DEFAULT_DRAIN = timedelta(seconds=30)


class EngineSettings(TypedDict, total=False):
    """What an engine may be told beside its workflows and where things are stored. All may be left out."""

    sources: Sources | None
    """Of connectors by name, in place of declared ones."""
    namespace: str
    """Keeps fleets on one database apart. Default: "default"."""
    registry: CollectorRegistry | None
    """For metrics. Default: one of its own, at `engine.metrics.registry`."""
    handoff: bool
    """False: every row goes through the store. Default: True."""
    auto_resume: AutoResume | None
    """For runs that errors paused."""
    drain: timedelta
    """How long a stop waits for running steps. Default: 30 s."""
    beat: timedelta
    """Between two heartbeats. Default: 10 s."""
    lapse: timedelta
    """How long after its last heartbeat a process counts as alive; over twice the beat. Default: 30 s."""
    lease: timedelta
    """How long a role is held without being renewed. Default: 15 s."""
    works: bool
    """False: it never works on runs itself; see `Engine.client`."""
    clock: Clock | None
    """For tests."""
    ids: IdSource | None
    """For tests."""
    rng: random.Random | None
    """For tests."""


KNOWN = ("store", "roles", "streamer", *EngineSettings.__annotations__)


def check_settings(settings: EngineSettings) -> None:
    """Raises ConfigurationError for a setting that there is not, for what is no duration, and for a heartbeat too slow."""
    refuse_unknown_options(settings, KNOWN, "an engine")
    given: dict[str, Any] = {**settings}
    for name in ("drain", "beat", "lapse", "lease"):
        if not isinstance(given.get(name, DEFAULT_DRAIN), timedelta):
            raise ConfigurationError(
                f"{name}={given[name]!r} is not a duration.", remedy=f"Write {name}=timedelta(seconds={given[name]!r})."
            )
    beat, lapse = settings.get("beat", DEFAULT_BEAT), settings.get("lapse", DEFAULT_LAPSE)
    if beat * 2 >= lapse:
        raise ConfigurationError(
            f"a heartbeat every {beat} cannot keep claims that lapse after {lapse}.",
            remedy="Let lapse be over twice the beat.",
        )


def check_workflows(workflows: Sequence[Workflow[Any, Any]]) -> None:
    """Raises ConfigurationError for what is no Workflow and for two of one name."""
    named: dict[str, Workflow[Any, Any]] = {}
    for workflow in workflows:
        check_workflow(workflow)
        other = named.setdefault(workflow.name, workflow)
        if other is not workflow:
            raise ConfigurationError(
                f"two workflows are named {workflow.name!r}: at {other.place} and at {workflow.place}.",
                remedy="Names are what runs are stored under: rename one.",
            )
