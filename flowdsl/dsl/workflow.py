"""The workflow: what users declare steps on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

from flowdsl.dsl.codec import ObjectCodec
from flowdsl.dsl.connector import Connectors, ConnectorSpec
from flowdsl.dsl.declarations import Declarations
from flowdsl.dsl.declaring import caller, duration
from flowdsl.dsl.definition import Definition
from flowdsl.dsl.lint import lint
from flowdsl.dsl.migration import Migrations, MigrationSpec
from flowdsl.dsl.registry import Registry
from flowdsl.dsl.retention import Retention
from flowdsl.dsl.schedule import start_findings
from flowdsl.dsl.spec import StepSpec
from flowdsl.dsl.statuses import Statuses
from flowdsl.dsl.upcasting import Upcasters
from flowdsl.errors import DefinitionError, WorkflowDefinitionError
from flowdsl.graph.build import FlowGraph
from flowdsl.graph.finding import Finding
from flowdsl.graph.validate import validate
from flowdsl.options import StepOptions, check_options

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)
EnumT = TypeVar("EnumT", bound=Enum)
SpecT = TypeVar("SpecT")
KeyT = TypeVar("KeyT")


class Workflow(Declarations[ObjectT, StatusT]):
    """A graph of statuses and the steps that lead from one to the next.

    In: `name`, under which runs are stored; `object_type`, what a run carries (dataclass, msgspec Struct, attrs, TypedDict,
    pydantic model, dict); `status_type`, an Enum with str or int values; `defaults`, options of every step that does not say
    otherwise;
    `allow_cycles`; `retired`, statuses that no step mentions any more but old runs may still be in; `schema_version` of the
    stored object, see `upcast`; how long finished runs are
    kept with their history, by how they ended (None: for ever): `keep_completed`, `keep_cancelled`, and `keep_deleted` for those
    whose data was deleted; `keep_keys`, how long idempotency keys of triggers and callbacks are kept, counted from their use.
    Raises DefinitionError for what can be refused at once; the rest is found by `check` and `definition`, all of it together.
    """

    def __init__(
        self,
        name: str,
        *,
        object_type: type[ObjectT],
        status_type: type[StatusT],
        defaults: StepOptions | None = None,
        allow_cycles: bool = False,
        retired: Sequence[StatusT] = (),
        schema_version: int = 1,
        keep_completed: timedelta | None = None,
        keep_cancelled: timedelta | None = None,
        keep_deleted: timedelta | None = None,
        keep_keys: timedelta | None = None,
    ) -> None:
        here = caller()
        if not isinstance(name, str) or not name.strip() or len(name) > 100:
            raise DefinitionError(f"a workflow's name is 1 to 100 characters, not {name!r}.", place=str(here))
        if "/" in name:
            raise DefinitionError(
                f"a workflow's name has no '/', unlike {name!r}: on the command line a run is WORKFLOW/FOREIGN_ID.",
                place=str(here),
                remedy=f"Write e.g. {name.replace('/', '-')!r}.",
            )
        self.name = name
        self.object_type = object_type
        self.status_type = status_type
        self.place = here
        self._defaults: StepOptions = defaults or {}
        check_options(self._defaults, str(here))
        self._statuses = Statuses(status_type, name)
        self.codec: ObjectCodec[ObjectT] = ObjectCodec(object_type, str(here), upcasters=Upcasters(schema_version, str(here)))
        self._allow_cycles = allow_cycles
        for option, kept in (
            ("keep_completed", keep_completed),
            ("keep_cancelled", keep_cancelled),
            ("keep_deleted", keep_deleted),
            ("keep_keys", keep_keys),
        ):
            duration(option, kept, here)
        self.retention = Retention(keep_completed, keep_cancelled, keep_deleted, keep_keys)
        self._retired = frozenset(self._statuses.key(member) for member in retired)
        self._registry = Registry(status_type, object_type)
        self._connectors = Connectors(name)
        self._migrations = Migrations()
        self._definition: Definition | None = None

    # -- asking ---------------------------------------------------------------------------------------------------------------

    def key(self, member: StatusT) -> str:
        """The text that a status is stored as."""
        return self._statuses.key(member)

    def member(self, key: str) -> StatusT:
        """The status stored as a text. Raises UnknownStatusError."""
        return self._statuses.member(key)

    @property
    def steps(self) -> Mapping[str, StepSpec]:
        """The declared steps by the stored text of the status they consume; of two for one status the later."""
        return MappingProxyType({spec.from_key: spec for spec in self._registry.steps})

    @property
    def registry(self) -> Registry:
        """Everything that is declared."""
        return self._registry

    @property
    def connectors(self) -> Mapping[str, ConnectorSpec]:
        """The declared connectors by name."""
        return MappingProxyType(self._connectors.declared)

    @property
    def migrations(self) -> Sequence[MigrationSpec]:
        """The declared migrations."""
        return self._migrations.specs

    @property
    def graph(self) -> FlowGraph:
        """The graph of what is declared, sound or not."""
        edges = [*self._registry.edges(), *self._migrations.edges()]
        return FlowGraph(self.name, edges, {self._statuses.key(m): m.name for m in self._statuses.all()})

    def check(self) -> Sequence[Finding]:
        """Everything that is wrong with the declaration, all at once; empty when it is sound."""
        found = [*self._registry.findings(), *start_findings(self._registry.schedules, self.graph)]
        found += self.codec.upcasters.findings(str(self.place))
        graph, movers = self.graph.living, self._registry.movers
        found += self._migrations.findings(graph.nodes, {spec.from_key for spec in movers})
        found += validate(
            graph,
            [(spec.from_key, spec.name, str(spec.place)) for spec in self._registry.steps],
            [(spec.from_key, spec.name, str(spec.place)) for spec in movers],
            place=str(self.place),
            statuses=[self._statuses.key(member) for member in self._statuses.all()],
            retired=self._retired | {spec.from_key for spec in self._migrations.specs},
            allow_cycles=self._allow_cycles,
        )
        return found

    def lint(self) -> Sequence[Finding]:
        """What may be wrong although the workflow can work. A comment `# flowdsl: ignore[code]` in the head of a function, or on
        the line itself, silences a warning there."""
        return lint(self.graph.living, self._registry, self.place, self.status_type)

    def definition(self) -> Definition:
        """The sound definition. Raises WorkflowDefinitionError with every finding."""
        if self._definition is None:
            found = self.check()
            if found:
                raise WorkflowDefinitionError(self.name, found)
            graph = self.graph
            self._definition = Definition(
                self.name,
                self.steps,
                graph.starts[0],
                graph.starts,
                frozenset(graph.living.nodes),
                frozenset(graph.terminal),
                graph,
                _by(self._registry.timeouts, lambda spec: spec.from_key),
                _by(self._registry.callbacks, lambda spec: spec.from_key),
                _by(self._registry.hooks, lambda spec: spec.event),
                self._registry.deletion,
                MappingProxyType({spec.from_key: spec for spec in self._migrations.specs}),
            )
        return self._definition

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the diagram."""
        return self.graph._repr_mimebundle_(include, exclude)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} with {len(self._registry.steps)} steps>"


def _by(specs: Sequence[SpecT], key: Callable[[SpecT], KeyT]) -> Mapping[KeyT, tuple[SpecT, ...]]:
    found: dict[KeyT, tuple[SpecT, ...]] = {}
    for spec in specs:
        found[key(spec)] = (*found.get(key(spec), ()), spec)
    return MappingProxyType(found)
