"""`python -m tests.faults.nursery`: a process without threads that has imported everything, and has a child for each scenario
that may end with a kill -9. Lines of JSON in, how the child ended out."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any

from tests.faults.scenario import Place, begin
from tests.faults.trap import Action, Point, Trap


def main() -> None:
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(order)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        answer = "killed" if killed else f"ended with {os.waitstatus_to_exitcode(status)}"
        print(answer, flush=True)


def _live(order: dict[str, Any]) -> None:
    trap = Trap(Point[order.pop("point")], Action[order.pop("action")], order.pop("nth"))
    try:
        begin(Place(**order), trap)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
