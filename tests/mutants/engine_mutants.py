"""Faults of the engine."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, Suite

ENGINE = "flowdsl/engine"

ENGINE_MUTANTS = (
    Mutant(
        name="the heartbeat is never renewed",
        file=f"{ENGINE}/membership.py",
        old="        self._next = now + self._beat\n        try:",
        new="        self._next = float('inf')\n        try:",
        why="claims lapse only when their process is gone",
    ),
    Mutant(
        name="a new name is taken before it is known",
        file=f"{ENGINE}/membership.py",
        old="""                fresh = self._new_instance()
                core.store.beat(core.namespace, fresh, self._lapse)  # without an answer the next round begins here again
""",
        new="""                fresh = self._instance = self._new_instance()
                core.store.beat(core.namespace, fresh, self._lapse)  # without an answer the next round begins here again
""",
        why="an instance claims under the name whose heartbeat is alive",
    ),
    Mutant(
        name="nobody frees what others left behind",
        file=f"{ENGINE}/membership.py",
        old="freed = core.store.free_lapsed(core.namespace, dead)",
        new="freed = 0",
        why="what a dead process held is taken over",
    ),
    Mutant(
        name="a role is held for longer than its lease",
        file=f"{ENGINE}/role_keeper.py",
        old="SAFE_PART = 2 / 3",
        new="SAFE_PART = 4.0",
        why="a holder stops before its lease ends",
    ),
    Mutant(
        name="rows stay in a lane without a role",
        file=f"{ENGINE}/role_keeper.py",
        old="        for work in lane.withdraw():\n            self._core.release(work)\n",
        new="",
        why="nothing is stuck",
    ),
    Mutant(
        name="what was claimed under an old name is executed",
        file=f"{ENGINE}/intake.py",
        old="            if owner != core.owner:\n",
        new="            if False:\n",
        why="a version is not worked on twice without a reason",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="stale rows are executed",
        file=f"{ENGINE}/moving_duties.py",
        old="if record.version != work.version or record.state.stopped or record.status != lane.status:",
        new="if False:",
        why="no step begins on a run that is paused, has ended or has moved on",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a timeout of another visit is executed",
        file=f"{ENGINE}/moving_duties.py",
        old="if record.visit != work.visit or record.status != work.lane.status or record.state.finished:",
        new="if record.state.finished:",
        why="a timer belongs to a visit",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="the row goes before the letter is there",
        file=f"{ENGINE}/results.py",
        old="        self.submit(work, PutItems(change_id=core.ids(), namespace=core.namespace, items=tuple(letter)), buried)",
        new="        self.drop(work)\n"
        "        self.submit(work, PutItems(change_id=core.ids(), namespace=core.namespace, items=tuple(letter)), lambda _: None)",
        why="a kept callback is applied, or is a dead letter",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a waiting request is not seen",
        file=f"{ENGINE}/moving_duties.py",
        old="        if record.requested is not None:\n",
        new="        if False:\n",
        why="a pause or cancel outlives the worker whose step it waited for",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a cancel is forgotten for the pause that is being applied",
        file=f"{ENGINE}/control.py",
        old="        unless_claimed=unless_claimed,\n        honour_request=True,\n    )\n\n\nclass Control",
        new="        unless_claimed=unless_claimed,\n        honour_request=False,\n    )\n\n\nclass Control",
        why="a cancel that was accepted happens",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a change without an answer is not tried again",
        file=f"{ENGINE}/results.py",
        old="        core.delayed.call(STORE_RETRY, partial(self._again, work, change, done))",
        new="        core.close(work)",
        why="nothing is stuck",
    ),
    Mutant(
        name="a row leaves our hands and is still counted",
        file=f"{ENGINE}/results.py",
        old="        if lane.kind is RowKind.STEP:\n            core.close(work)\n            return",
        new="        if lane.kind is RowKind.STEP:\n            return",
        why="back to the baseline: processes hold nothing in the end",
    ),
    Mutant(
        name="a place that was kept is not given back",
        file=f"{ENGINE}/core.py",
        old="            self.topics[row.topic].close()\n\n    def abandon",
        new="            pass\n\n    def abandon",
        why="back to the baseline: processes hold nothing in the end",
    ),
    Mutant(
        name="a start without an answer is nobody's",
        file=f"{ENGINE}/core.py",
        old="            self._give_back_later(ReleaseRow(change_id=self.ids(), **claim), _ignore)\n",
        new="            pass\n",
        why="nothing is stuck",
    ),
    Mutant(
        name="handed over before the commit",
        file=f"{ENGINE}/starter.py",
        old="            if not result.applied:\n                core.not_committed(change.row)\n                return\n",
        new="",
        why="no step begins on what was not stored",
    ),
    Mutant(
        name="lag is not kept",
        file=f"{ENGINE}/core.py",
        old="        lag = lane.options.consume_lag\n",
        new="        lag = ZERO\n",
        why="no step begins before its lag is over",
    ),
    Mutant(
        name="one attempt too many",
        file=f"{ENGINE}/steps.py",
        old="move = duty.give_up(work, failures, text) if limit and failures >= limit else None",
        new="move = duty.give_up(work, failures, text) if limit and failures > limit else None",
        why="a run is paused after as many failures as its step allows",
    ),
    Mutant(
        name="errors are swallowed",
        file=f"{ENGINE}/steps.py",
        old="            _undo(opened)\n            self._fail(work, error)\n",
        new="            _undo(opened)\n",
        why="nothing is stuck",
    ),
    Mutant(
        name="lapses do not pause a run",
        file=f"{ENGINE}/work.py",
        old="return self.attempts + self.lapses",
        new="return self.attempts",
        why="a step that kills its process cannot kill the fleet",
    ),
    Mutant(
        name="what a person paused resumes by itself",
        file=f"{ENGINE}/auto_resumer.py",
        old=" or pause_mark(record.version, record.actor) != item.body:",
        new=":",
        why="an automatic resume only follows a pause for errors",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="automatic resumes have no limit",
        file=f"{ENGINE}/auto_resume.py",
        old="if self.after is None or resumes >= self.limit:",
        new="if self.after is None:",
        why="no run resumes by itself too often",
    ),
    Mutant(
        name="results go to the wrong changes",
        file=f"{ENGINE}/committer.py",
        old="for (_, done, _), result in zip(list(group), results, strict=True):",
        new="for (_, done, _), result in zip(list(group), reversed(results), strict=True):",
        why="each change gets its own answer",
    ),
    Mutant(
        name="a failed commit is nobody's",
        file=f"{ENGINE}/committer.py",
        old="        for _, _, failed in group:\n            self._call(failed, error)\n",
        new="        for _, _, failed in group:\n"
        "            if 'partial' not in type(failed).__name__:\n"  # those of triggers: a caller who waits for ever is found by nobody
        "                self._call(failed, error)\n",
        why="nothing is stuck",
    ),
    Mutant(
        name="a wait is answered by a look at the present only",
        file=f"{ENGINE}/waiter.py",
        old="            if any(row.to_status == self.status for row in history(record.run_id)):",
        new="            if False:",
        why="every wait is answered, truly",
    ),
    Mutant(
        name="a hook is told once, whether it returns or not",
        file=f"{ENGINE}/hook_duty.py",
        old="    def give_up(self, work: Work, failures: int, error: str) -> MoveRun | None:\n        return None",
        new=(
            "    def give_up(self, work: Work, failures: int, error: str) -> MoveRun | None:\n"
            "        self._results.drop(work)\n        return None"
        ),
        why="a hook is told at least once",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="hooks whose workers died are never executed",
        file=f"{ENGINE}/steps.py",
        old="return work.lane.kind in TRIED_FOR_EVER and work.attempts > work.lapses - limit",
        new="return False",
        why="a hook is told at least once",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a computed timeout counts from nowhere",
        file=f"{ENGINE}/timers.py",
        old="return max(ZERO, due - now)",
        new="return ZERO",
        why="a timer is never early",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a callback forgets its idempotency key",
        file=f"{ENGINE}/callbacks.py",
        old="        return (NewItem(kind=ItemKind.CALLBACK_KEY, key=self._item_key(), body=record.run_id.encode(), delay=kept),)",
        new="        return ()",
        why="of all callbacks of one key at most one is applied",
    ),
    Mutant(
        name="a trigger forgets its idempotency key",
        file=f"{ENGINE}/starter.py",
        old="            items = (NewItem(kind=ItemKind.TRIGGER_KEY, key=name, body=run_id.encode(), delay=kept),)",
        new="            items = () if name else (NewItem(kind=ItemKind.TRIGGER_KEY, key=name, delay=kept),)",
        why="an idempotency key names one run",
    ),
    Mutant(
        name="a change that comes late meets the next version's row",
        file=f"{ENGINE}/work.py",
        old='"delivery": self.delivery, "version": self.version}',
        new='"delivery": self.delivery, "version": None}',
        why="a version is not worked on twice without a reason",
        suites=(Suite.SIMULATION, Suite.ENGINE),
    ),
    Mutant(
        name="a slot is settled by everybody who sees it",
        file=f"{ENGINE}/slot.py",
        old="result = self._starter.commit(replace(change, items=(*change.items, *items)))",
        new="result = self._starter.commit(replace(change, foreign_id=change.run_id))",
        why="each slot of a schedule has one run",
    ),
    Mutant(
        name="deletion does not wait for burials",
        file=f"{ENGINE}/deletion_duty.py",
        old="        if self._burials_to_come(work):\n",
        new="        if False:\n",
        why="deleted data is nowhere",
    ),
    Mutant(
        name="deletion keeps dead letters",
        file=f"{ENGINE}/deletion_duty.py",
        old="letters = letters_of_run(core.store, core.namespace, record.run_id)",
        new="letters = ()",
        why="deleted data is nowhere",
    ),
)
