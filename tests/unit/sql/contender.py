"""Run as `contender.py URL COMMITS RUN_ID...`: moves the named runs at random, as one process among several.

Prints how many of its moves were applied, lost, and failed with an error."""

from __future__ import annotations

import random
import sys
import uuid

from flowdsl.errors import StoreError
from flowdsl.model.change import CommitOutcome, MoveRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.pending import NewRow
from flowdsl.model.run_state import RunState
from flowdsl_sql.record_store import open_store


def main(url: str, commits: int, run_ids: list[str]) -> tuple[int, int, list[str]]:
    store = open_store(url)
    applied = lost = 0
    errors: list[str] = []
    for _ in range(commits):
        run_id = random.choice(run_ids)
        try:
            record = store.lookup([run_id])[run_id]
            (result,) = store.commit(
                [
                    MoveRun(
                        change_id=str(uuid.uuid4()),
                        namespace=record.namespace,
                        workflow=record.workflow,
                        run_id=run_id,
                        version=record.version,
                        from_status=record.status,
                        from_state=record.state,
                        to_status="again",
                        to_state=RunState.RUNNING,
                        origin=Origin(Cause.STEP),
                        row=NewRow(row_id=run_id, topic="again"),
                        new_visit=True,
                    )
                ]
            )
        except StoreError as error:
            errors.append(str(error))
            continue
        applied += result.outcome is CommitOutcome.APPLIED
        lost += result.outcome is CommitOutcome.LOST
    store.close()
    return applied, lost, errors


if __name__ == "__main__":
    applied, lost, errors = main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
    print(applied, lost, len(errors), *errors[:1])
