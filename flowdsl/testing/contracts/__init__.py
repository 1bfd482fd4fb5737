"""Contract suites: one per port. Subclass, define the fixtures that the suite asks for, and run it over your adapter."""

from flowdsl.testing.contracts.connector_source import ConnectorSourceContract
from flowdsl.testing.contracts.event_streamer import EventStreamerContract
from flowdsl.testing.contracts.record_store import RecordStoreContract
from flowdsl.testing.contracts.role_scheduler import RoleSchedulerContract

__all__ = ["ConnectorSourceContract", "EventStreamerContract", "RecordStoreContract", "RoleSchedulerContract"]
