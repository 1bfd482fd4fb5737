"""Contract suites: one per port. Subclass, define the fixtures that the suite asks for, and run it over your adapter."""

from flowdsl.testing.contracts.record_store import RecordStoreContract
from flowdsl.testing.contracts.role_scheduler import RoleSchedulerContract

__all__ = ["RecordStoreContract", "RoleSchedulerContract"]
