"""Run by the docs session: `python -m tests.house.built_site FOLDER`. Nothing of the site comes from the network, every link
inside of it leads somewhere, and no Mermaid text is left where a picture should be. Ends with 1 and says what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""What a browser fetches by itself."""


class Page(HTMLParser):
    """What one page has and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        address = found.get(LOADED.get(tag, ""))
        if address:
            self.loaded.append(address)


def problems(site: Path) -> Iterator[str]:
    """A line for everything that is wrong with the built site."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site.resolve()).as_posix()
        for address in page.loaded:
            if urlsplit(address).netloc or not (path.parent / unquote(urlsplit(address).path)).exists():
                yield f"{name} loads {address}"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{name} leads to {link}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} leads to {link}, where there is no such place"
        if "stateDiagram-v2\n" in path.read_text("utf-8"):
            yield f"{name} shows Mermaid text"


def main() -> int:
    site = Path(sys.argv[1])
    found = list(problems(site))
    print(f"{len(list(site.rglob('*.html')))} pages", *found, sep="\n  ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
