"""What a wave of changes will write, collected while its changes are decided and then written in batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowdsl.model.history import Origin
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import NOW, NewRow, RowKind
from flowdsl_sql.beside import BIT_OF, Beside
from flowdsl_sql.database import after, to_micros
from flowdsl_sql.writer import Writer

TIMEOUT = RowKind.TIMEOUT


class Draft:
    """In: the writer of the transaction, its time, and where to note whom to wake (namespaces and topics)."""

    def __init__(self, writer: Writer, now: int, wakes: set[tuple[str, str]]) -> None:
        self.writer = writer
        self.now = now
        self.wakes = wakes
        self.moves: list[tuple[Any, ...]] = []
        """In the order of `writer.MOVE_COLUMNS`."""
        self.drops: list[str] = []
        """Row ids."""
        self.beside = Beside()
        self._history: list[tuple[Any, ...]] = []
        self._rows: list[tuple[Any, ...]] = []

    def log(
        self,
        run_id: str,
        version: int,
        before: tuple[str | None, int],
        now_at: tuple[str, int],
        origin: Origin,
        change_id: str,
        *,
        reason: str | None,
        actor: str,
    ) -> None:
        """The history row of a version. In: status and state before and after."""
        self._history.append(
            (
                run_id,
                version,
                before[0],
                now_at[0],
                before[1],
                now_at[1],
                origin.cause.value,
                origin.name,
                actor,
                reason,
                origin.error,
                origin.attempt,
                change_id,
                self.now,
            )
        )

    def add_row(
        self, row: NewRow, namespace: str, workflow: str, run_id: str, version: int, visit: int, *, suspended: bool = False
    ) -> None:
        """A pending row, in place of one of the same id. `suspended`: its run is paused, so a timeout or a kept callback waits
        with what remains."""
        now, delay, owner = self.now, row.delay, row.owner
        due: int | None = None
        if row.due_at is not None:
            due = to_micros(row.due_at)
        elif delay is not None:
            due = now if delay is NOW else after(now, delay)
        remaining = None
        if suspended and row.kind in BIT_OF and due is not None:
            remaining = max(0, due - now)
            due = owner = None
        self._rows.append(
            (
                row.row_id,
                namespace,
                workflow,
                row.topic,
                int(row.kind),
                row.receiver,
                run_id,
                version,
                visit,
                due,
                remaining,
                now,
                row.priority,
                owner,
                0 if owner is None else 1,
                0,
                0,
                None,
                row.payload,
                None,
            )
        )
        if owner is None and due is not None:
            self.wakes.add((namespace, row.topic))

    def write_moves(self) -> None:
        """Before runs are inserted: a run that ends makes room for one of the same foreign id."""
        if self.moves:
            self.moves.sort(key=_run_id)
            self.writer.move_runs(self.moves)

    def write(self) -> None:
        """The rest, after the runs: everybody locks in this order."""
        writer = self.writer
        if self._history:
            writer.insert_history(self._history)
        self.beside.write(writer.session, self.now, self.wakes)
        if self.drops:
            writer.drop_rows(sorted(self.drops))
        self.write_rows()

    def write_rows(self) -> None:
        """The rows that were added since the last time."""
        if self._rows:
            self._rows.sort(key=_row_id)
            self.writer.put_rows(self._rows)
            self._rows = []

    # -- items: rare, and decided by whether their insertion succeeds; so they are written at once -------------------------

    def insert_items(
        self, namespace: str, change_id: str, items: Sequence[NewItem], dropped: Sequence[ItemKey] = ()
    ) -> tuple[str, bytes, bool] | None:
        """Insert the items that may not replace others. When a key is taken: none of them, and the key, the body of the item that
        has it, and whether that is this very change's. Keys that the change drops beforehand are free."""
        inserted: list[NewItem] = []
        for item in items:
            if item.replace or ItemKey(item.kind, item.key) in dropped:
                continue
            if self.writer.insert_item(self._item_row(namespace, change_id, item)):
                inserted.append(item)
                continue
            for other in inserted:
                self.writer.drop_item(namespace, other.kind, other.key)
            found = self.writer.item(namespace, item.kind, item.key)
            return (item.key, b"", False) if found is None else (item.key, found[0], found[1] == change_id)
        return None

    def finish_items(
        self,
        namespace: str,
        change_id: str,
        items: Sequence[NewItem],
        dropped: Sequence[ItemKey],
        *,
        due_only: bool = False,
    ) -> None:
        """The rest, once the change is certain: items that replace others, and removals, with `due_only` of what is due."""
        kept = {ItemKey(item.kind, item.key) for item in items}
        for key in dropped:
            if key not in kept:
                self.writer.drop_item(namespace, key.kind, key.key, self.now if due_only else None)
        for item in items:
            if item.replace or ItemKey(item.kind, item.key) in dropped:
                self.writer.replace_item(self._item_row(namespace, change_id, item))

    def take_items_back(self, namespace: str, items: Sequence[NewItem]) -> None:
        """Undo `insert_items`."""
        for item in items:
            if not item.replace:
                self.writer.drop_item(namespace, item.kind, item.key)

    def _item_row(self, namespace: str, change_id: str, item: NewItem) -> tuple[Any, ...]:
        due = None if item.delay is None else after(self.now, item.delay)
        return (namespace, str(item.kind), item.key, item.body, due, self.now, change_id)


def _run_id(move: tuple[Any, ...]) -> str:
    run_id: str = move[-2]
    return run_id


def _row_id(row: tuple[Any, ...]) -> str:
    row_id: str = row[0]
    return row_id
