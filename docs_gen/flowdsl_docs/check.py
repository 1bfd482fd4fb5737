"""Files on disk beside those that would be made now."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flowdsl_docs.html import SUFFIX as HTML_SUFFIX
from flowdsl_docs.html import without_pictures
from flowdsl_docs.markdown import SUFFIX as MARKDOWN_SUFFIX
from flowdsl_docs.site import MADE


def write(files: Mapping[str, str], folder: Path) -> Sequence[Path]:
    """Write what differs and remove the pages that are made no more. Out: what was written or removed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed: list[Path] = []
    for name, content in files.items():
        path = folder / name
        if _text(path) != content:
            path.write_text(content, "utf-8", newline="\n")
            changed.append(path)
    for path in leftover(files, folder):
        path.unlink()
        changed.append(path)
    return changed


def differences(files: Mapping[str, str], folder: Path) -> Iterator[str]:
    """A unified diff per file that is stale. Pictures are compared by what they are of: another Graphviz draws another one."""
    for name, content in files.items():
        path = folder / name
        found = _text(path)
        if name.endswith(HTML_SUFFIX):
            found, content = None if found is None else without_pictures(found), without_pictures(content)
        yield from difference(path, found, content)
    for path in leftover(files, folder):
        yield from difference(path, _text(path), None)


def difference(path: Path, found: str | None, wanted: str | None) -> Iterator[str]:
    """At most one diff. None: no such file."""
    if found == wanted:
        return
    before, after = (text.splitlines(keepends=True) if text is not None else [] for text in (found, wanted))
    names = (str(path) if found is not None else "/dev/null", str(path) if wanted is not None else "/dev/null")
    yield "".join(difflib.unified_diff(before, after, *names))


def leftover(files: Mapping[str, str], folder: Path) -> Sequence[Path]:
    """Pages in a folder that were made once and would not be made now."""
    pages = [path for path in folder.glob("*") if path.suffix in (HTML_SUFFIX, MARKDOWN_SUFFIX) and path.name not in files]
    return sorted(path for path in pages if MADE in (_text(path) or "")[:400])


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
