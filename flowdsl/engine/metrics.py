"""Metrics in a Prometheus registry of the caller's choice. Labels come from code (workflows, processes), never from data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from flowdsl.model.pending import TopicDepth
from flowdsl.model.run_state import RunState

LATENCY_BUCKETS = (0.01, 0.1, 1, 5, 10, 60, 300)
BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
PROCESS = ("workflow_name", "process_name")

# The counters of the Go library that these metrics continue have no `_total` at the end of their names, and prometheus_client
# adds one to every Counter. Dashboards ask for the name, so here they are gauges that only rise: rate() and increase() read
# them alike.
Rising = Gauge


class ProcessState(IntEnum):
    """What a process is doing; the numbers are the metric's."""

    UNKNOWN = 0
    SHUTDOWN = 1
    RUNNING = 2
    IDLE = 3
    """Waiting for its role."""


class SkipReason:
    """Why an event was let go without running its step, or a schedule's slot without starting a run."""

    NOT_FOUND = "record not found"
    STOPPED = "record stopped"
    LOWER_VERSION = "event record version lower than latest record version"
    SKIPPED = "next value specified skip"
    BUSY = "previous run unfinished"
    MISSED = "slot missed"
    DECLINED = "schedule answered none"


class ProcessMetrics:
    """The series of one process, looked up once."""

    def __init__(self, metrics: Metrics, workflow: str, process: str) -> None:
        self._metrics = metrics
        self._labels = (workflow, process)
        self.lag = metrics.lag.labels(workflow, process)
        self.lag_alert = metrics.lag_alert.labels(workflow, process)
        self.latency = metrics.latency.labels(workflow, process)
        self.errors = metrics.errors.labels(workflow, process)
        self.retries = metrics.retries.labels(workflow, process)
        self.state = metrics.states.labels(workflow, process)

    def skipped(self, reason: str) -> None:
        self._metrics.skipped.labels(*self._labels, reason).inc()

    def received(self, age: float, alert_after: float | None) -> None:
        """An event of this age (seconds) was received."""
        self.lag.set(age)
        if alert_after is not None:
            self.lag_alert.set(1 if age > alert_after else 0)

    def caught_up(self, alert_after: float | None) -> None:
        """Nothing waits: an old reading must not keep an alert alive."""
        self.received(0.0, alert_after)


class Metrics:
    """Every series that an engine keeps. In: the registry (default: a new one of the engine's own; pass
    `prometheus_client.REGISTRY` to join the process's). Two engines of one process need two registries."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        r = self.registry
        self.lag = Gauge("workflow_process_lag_seconds", "Age of the event received last", PROCESS, registry=r)
        self.lag_alert = Gauge("workflow_process_lag_alert", "1 if that age exceeds lag_alert", PROCESS, registry=r)
        self.states = Gauge(
            "workflow_process_states", "0 unknown, 1 shut down, 2 running, 3 waiting for its role", PROCESS, registry=r
        )
        self.latency = Histogram(
            "workflow_process_latency_seconds",
            "Handling time of an event, commit included",
            PROCESS,
            buckets=LATENCY_BUCKETS,
            registry=r,
        )
        self.errors = Rising("workflow_process_error_count", "Failed attempts and process failures", PROCESS, registry=r)
        self.skipped = Rising(
            "workflow_process_skipped_events_count", "Events let go without running a step", (*PROCESS, "reason"), registry=r
        )
        self.run_states = Rising(
            "workflow_run_state_changes",
            "Committed changes of run state",
            ("workflow_name", "previous_run_state", "current_run_state"),
            registry=r,
        )
        self._run_states: dict[tuple[str, RunState, RunState], Rising] = {}
        self.retries = Rising("workflow_process_retries_count", "Attempts that will be made again", PROCESS, registry=r)
        self.dead_letters = Rising(
            "workflow_dead_letters_count", "Events given up and put among the dead letters", PROCESS, registry=r
        )
        self.batch = Histogram("workflow_commit_batch_size", "Changes per transaction", buckets=BATCH_BUCKETS, registry=r)
        self.commit = Histogram("workflow_commit_seconds", "Time of a transaction", buckets=LATENCY_BUCKETS, registry=r)
        self.published = Rising("workflow_published_events_count", "Events that the broker confirmed", registry=r)
        self.unpublished = Rising(
            "workflow_unpublished_events_count",
            "Events dropped while the broker was away; their rows wait in the store",
            registry=r,
        )
        self.stale_events = Rising(
            "workflow_stale_events_count", "Events received whose row was gone, taken or not due", registry=r
        )
        self.purged = Rising("workflow_purged_runs_count", "Finished runs removed by retention", ("workflow_name",), registry=r)
        self.swept = Rising(
            "workflow_swept_rows_count", "Rows that had to be made again; should stay 0", ("workflow_name",), registry=r
        )

    def of(self, workflow: str) -> None:
        """A counter that begins at 0 shows its first event as a rise; one that appears with it does not."""
        self.swept.labels(workflow)
        self.purged.labels(workflow)

    def process(self, workflow: str, process: str) -> ProcessMetrics:
        return ProcessMetrics(self, workflow, process)

    def moved(self, workflow: str, before: RunState, after: RunState) -> None:
        """A change of state was committed."""
        key = (workflow, before, after)
        child = self._run_states.get(key)
        if child is None:  # to look a child up by its labels takes longer than to count
            child = self._run_states[key] = self.run_states.labels(workflow, before.label, after.label)
        child.inc()

    def observe_depths(self, read: Callable[[], Mapping[tuple[str, str], TopicDepth]]) -> None:
        """Publish queue depth and age. `read` is called at each scrape: nothing is asked of the store in between."""
        self.registry.register(_Depths(read))


class _Depths(Collector):
    def __init__(self, read: Callable[[], Mapping[tuple[str, str], TopicDepth]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        labels = ("workflow_name", "status")
        due = GaugeMetricFamily("workflow_queue_depth", "Rows that are due and unclaimed", labels=labels)
        waiting = GaugeMetricFamily("workflow_queue_waiting", "Rows that are not due yet", labels=labels)
        oldest = GaugeMetricFamily("workflow_queue_oldest_seconds", "How long the oldest due row has waited", labels=labels)
        for key, depth in self._read().items():
            due.add_metric(key, depth.due)
            waiting.add_metric(key, depth.waiting)
            oldest.add_metric(key, depth.oldest.total_seconds())
        return (due, waiting, oldest)

    def describe(self) -> Iterable[Metric]:
        return ()
