"""Faults of stores, streamers and role schedulers."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Suite

COMMIT = "flowdsl/memory/commit.py"
ROWS = "flowdsl/memory/rows.py"
STORE = "flowdsl/memory/record_store.py"
SQL = (Suite.SQLITE_CONTRACTS, Suite.COMPARISON, Suite.SQLITE_SIMULATION)

STORE_MUTANTS = (
    Mutant(
        name="no compare-and-set",
        file=COMMIT,
        old="if record.version != change.version:\n            return self._already(change, record)",
        new="if False:\n            return self._already(change, record)",
        why="two writers of one version both win",
    ),
    Mutant(
        name="a repeated change is not recognised",
        file=COMMIT,
        old="if row.change_id == change.change_id:",
        new="if False:",
        why="a change that was applied without an answer looks lost to who repeats it",
    ),
    Mutant(
        name="two unfinished runs of one foreign id",
        file=COMMIT,
        old="if key in t.active:",
        new="if False:",
        why="one unfinished run per foreign id",
    ),
    Mutant(
        name="an idempotency key is not unique",
        file="flowdsl/memory/items.py",
        old="if existing is not None and not item.replace",
        new="if False and existing is not None and not item.replace",
        why="a second trigger or callback with the key does it again",
    ),
    Mutant(
        name="a pause falls between a step and its commit",
        file=COMMIT,
        old="if (change.unless_claimed and rows.stepping(run_id)) or (change.unless_moving and rows.moving(run_id)):",
        new="if (rows, run_id) is None:",
        why="what the step did is thrown away",
    ),
    Mutant(
        name="a request is forgotten by the step's commit",
        file=COMMIT,
        old="if request is not None and change.honour_request and state in (RunState.RUNNING, RunState.PAUSED):",
        new="if False:",
        why="a pause or cancel that was accepted never happens",
    ),
    Mutant(
        name="a finished run can be moved",
        file=COMMIT,
        old="if record.state.finished and not may_move(record.state, change.to_state):",
        new="if False:",
        why="nothing moves what has ended",
        suites=(Suite.MEMORY_CONTRACTS, Suite.SIMULATION),
    ),
    Mutant(
        name="a failure is fenced by nothing",
        file=COMMIT,
        old="if row is None or row.owner != change.owner or row.delivery != change.delivery:",
        new="if row is None:",
        why="an instance that lost its claim takes it from the next one",
    ),
    Mutant(
        name="failed attempts are not counted",
        file=COMMIT,
        old="        row.attempts += 1\n",
        new="",
        why="a run that always fails is never paused",
    ),
    Mutant(
        name="a retry does not wait",
        file=COMMIT,
        old="row.due_at = self._now if hastened else self._now + change.delay",
        new="row.due_at = self._now",
        why="no failed attempt is repeated before its wait is over",
    ),
    Mutant(
        name="deletion leaves the history",
        file=COMMIT,
        old="replace(row, reason=None, error=None) for row in t.history[after.run_id]",
        new="row for row in t.history[after.run_id]",
        why="deleted data is nowhere",
    ),
    Mutant(
        name="hooks are told of what did not happen",
        file=COMMIT,
        old="if row.only_in not in (None, state) or (state.finished and row.kind is RowKind.TIMEOUT):",
        new="if state.finished and row.kind is RowKind.TIMEOUT:",
        why="a hook is told of what happened, and of nothing else",
    ),
    Mutant(
        name="a timeout outlives its visit",
        file=ROWS,
        old="            if new_visit or after.state.finished:\n                t.remove(row)",
        new="            if after.state.finished:\n                t.remove(row)",
        why="a timer belongs to a visit",
    ),
    Mutant(
        name="a pause does not stop a timeout",
        file=ROWS,
        old="if after.state is RunState.PAUSED and row.suspended is None and row.due_at is not None:",
        new="if False:",
        why="the time for which a run is paused does not count",
    ),
    Mutant(
        name="a resumed timeout is due at once",
        file=ROWS,
        old="self._wait_until(row, self._now + row.suspended)",
        new="self._wait_until(row, self._now)",
        why="a timer is never early",
    ),
    Mutant(
        name="a kept callback is not woken by the arrival",
        file=ROWS,
        old="self._wait_until(row, self._now if row.receiver == after.status else None)",
        new="self._wait_until(row, None)",
        why="a kept callback is applied",
    ),
    Mutant(
        name="the dead may claim",
        file=STORE,
        old="""        with self._lock:
            t = self._open()
            if not self._alive(namespace, owner):
                return []
            now = self._clock.now()
            taken: list[Row] = []""",
        new="""        with self._lock:
            t = self._open()
            now = self._clock.now()
            taken: list[Row] = []""",
        why="a claim belongs to an owner whose heartbeat is alive",
    ),
    Mutant(
        name="lapses are not counted",
        file=STORE,
        old="row.lapses += 1",
        new="row.lapses += 0",
        why="a step that kills its process cannot kill the fleet",
    ),
    Mutant(
        name="claims of the dead are not freed",
        file=STORE,
        old="if space == namespace and (space, owner) not in t.instances]",
        new="if False]",
        why="what a dead process held is taken over",
    ),
    Mutant(
        name="a lapsed heartbeat goes on",
        file=STORE,
        old="if key in t.instances and not self._alive(namespace, instance.owner):\n                return False",
        new="if False:\n                return False",
        why="an instance whose heartbeat lapsed goes on under a new name",
    ),
    Mutant(
        name="a role changes hands with the same token",
        file="flowdsl/memory/role_scheduler.py",
        old="self._tokens[role] = self._tokens.get(role, 0) + 1",
        new="self._tokens[role] = self._tokens.get(role, 1)",
        why="a role that changes hands gets a greater token",
    ),
    Mutant(
        name="a lease is everybody's",
        file="flowdsl/memory/role_scheduler.py",
        old="holders = {role: held.member for role, held in self._held.items() if held.until > now}",
        new="holders: dict[str, str] = {}",
        why="a role has one holder at a time",
    ),
    Mutant(
        name="unacknowledged events are forgotten",
        file="flowdsl/memory/event_streamer.py",
        old="self._place.returned.update(dict.fromkeys(places))",
        new="_ = dict.fromkeys(places)",
        why="what a dead reader did not acknowledge comes again",
        suites=(Suite.MEMORY_CONTRACTS,),
    ),
    Mutant(
        name="SQL: no version in the statement that writes",
        file="adapters/flowdsl_sql/moves.py",
        old="elif run.version != move.version:",
        new="elif False:",
        why="two writers of one version both win",
        suites=SQL,
    ),
    Mutant(
        name="SQL: a lost answer to a claim is forgotten",
        file="adapters/flowdsl_sql/claims.py",
        old="self._doubtful.setdefault((namespace, owner), []).extend(doubtful)",
        new="_ = mark",
        why="rows that a claim took whose answer was lost come with the next",
        suites=(Suite.SQL_FAULTS,),
    ),
    Mutant(
        name="SQL: a commit is repeated blindly",
        file="adapters/flowdsl_sql/moves.py",
        old="            if mine is not None:\n                answers[index] = results.earlier(*mine)\n            elif",
        new="            if",
        why="an unknown commit is resolved by looking",
        suites=(Suite.SQL_FAULTS, *SQL),
    ),
    Mutant(
        name="SQL: a claim takes what is not due",
        file="adapters/flowdsl_sql/claims.py",
        old='AND due + 0"',
        new='AND due - 9000000000000000"',
        why="no row is claimed before it is due",
        suites=SQL,
    ),
    Mutant(
        name="RabbitMQ: publish without waiting for confirms",
        file="adapters/flowdsl_kombu/sender.py",
        old="        while self._waiting:\n",
        new="        while False:\n",
        why="a publish counts only when the broker confirmed it",
        suites=(Suite.KOMBU_FAULTS,),
    ),
)
