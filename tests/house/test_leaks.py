from __future__ import annotations

import asyncio
import threading

import pytest

from tests.house.leaks import Loops, leaked_threads


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.mark.parametrize(
    ("name", "daemon", "found"),
    [("somebody", False, True), ("flowdsl-worker", True, True), ("flowdsl-worker", False, True), ("driver", True, False)],
)
def test_a_thread_that_outlives_its_test_is_found_unless_it_is_a_drivers_daemon(
    stop: threading.Event, name: str, daemon: bool, found: bool
) -> None:
    before = set(threading.enumerate())
    thread = threading.Thread(target=stop.wait, name=name, daemon=daemon)
    thread.start()
    try:
        assert (thread in leaked_threads(before, grace=0.01)) is found
    finally:
        stop.set()
        thread.join()


def test_a_thread_that_is_about_to_end_is_waited_for(stop: threading.Event) -> None:
    before = set(threading.enumerate())
    thread = threading.Thread(target=stop.wait)
    thread.start()
    threading.Timer(0.05, stop.set).start()

    assert leaked_threads(before) == []


def test_a_task_on_a_loop_in_another_thread_is_found() -> None:
    loops = Loops()
    with loops.watched():
        loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    before = set(loops.pending())

    async def start() -> asyncio.Task[bool]:
        return asyncio.create_task(asyncio.Event().wait())

    task = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        assert loops.leaked(before, grace=0.01) == [task]
        assert loops.leaked({task}, grace=0.01) == []
    finally:
        loop.call_soon_threadsafe(task.cancel)
        assert loops.leaked(before) == []
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_task_on_a_loop_that_was_closed_under_it_is_found() -> None:
    loops = Loops()
    with loops.watched():
        loop = asyncio.new_event_loop()
    forever = asyncio.Event().wait()
    task = loop.create_task(forever)
    loop.close()
    try:
        assert loops.leaked(set()) == [task]
    finally:
        forever.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is never going to run: say nothing about it


def test_a_finished_loop_leaves_nothing() -> None:
    loops = Loops()
    with loops.watched():
        asyncio.run(asyncio.sleep(0))

    assert loops.leaked(set()) == []
