"""Pages in Markdown and HTML: what they say, that their links lead somewhere, and that no text can break them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowdsl_docs.blocks import (
    Block,
    Bullets,
    Code,
    Folded,
    Heading,
    Line,
    Link,
    Listing,
    Page,
    Paragraph,
    Plain,
    Strong,
    Table,
)
from flowdsl_docs.html import html, without_pictures
from flowdsl_docs.markdown import fence, markdown
from flowdsl_docs.prose import blocks_of, line_of
from flowdsl_docs.site import Form, site
from tests.readers import graphviz, own_mermaid
from tests.unit.graph.graphs import names
from tests.unit.pages.shop import orders

FILES = site([orders])
MARKDOWN = FILES["orders.md"]
PARSER = MarkdownIt("commonmark").enable("table")

texts = names | st.text(alphabet="`*_[]<>|&~\\#-+=. 1\n")


class Reader(HTMLParser):
    """Checks that every element is closed in order; collects texts, ids and links."""

    VOID = frozenset({"meta", "br", "path", "polygon", "ellipse", "polyline"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if "svg" not in self.open:
            self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [given["href"] or ""] if tag == "a" else []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def page_of(*blocks: Block) -> Page:
    return Page("p", "P", blocks)


def as_html(*blocks: Block) -> str:
    return html(page_of(*blocks), title="T", pages=[page_of()], drawings={})


def test_a_page_has_everything_in_order() -> None:
    headings = re.findall(r"^#+ (.+)$", MARKDOWN, re.MULTILINE)

    assert headings == [
        "orders", "Statuses",
        "Steps", "`charge`", "`book_courier`",
        "Callbacks", "`picked_up`", "`refused`", "`called_off`", "`paid_in_cash`",
        "Timeouts", "`nobody_came`", "`too_late`",
        "Schedules", "`breakfast`",
        "Hooks", "`tell_the_team`", "`thank`",
        "Connectors", "`on_courier_event`",
        "Migrations", "`from_the_van`", "`on_hold -> created`",
        "Deletion of data", "`scrub`",
        "Options", "Object", "Retention", "On the wire",
    ]  # fmt: skip
    for said in (
        "A shop with everything that a workflow can declare.",
        "From **Created** to **Paid** or **Cancelled**. Code: `tests.unit.pages.shop:charge`.",
        "On `engine.callback` by the name `refused at the door`, from **Awaiting pickup** to **Paid**.",
        "After 3 days, from **Awaiting pickup** to **Cancelled**.",
        "At the time that `deadline` answers for it, from **Created** to **Cancelled**.",
        "At `0 9 * * 1-5`, Europe/London time, it makes the object of a run for `breakfast`.",
        "They begin in **Paid**.",
        "The body of an event is JSON of type `Signature`.",
        "Told, at least once, that a run is paused.",
        "| `total` | integer | required | In cents; at least 1 |",
        "| `orders/paid` | **Paid** | [book_courier](#book_courier) |",
        "| completed | 90 days |",
        "Not used any more, and met in old runs: `before_2020`, `in_the_van`, `on_hold`.",
        "Unfinished runs in `in_the_van` go to **Awaiting pickup**. Code: `tests.unit.pages.shop:from_the_van`.",
        "Unfinished runs in `on_hold` go to **Created**.\n",
        "Its payload is bytes, as they come.",
        "It takes no payload.",
    ):
        assert said in MARKDOWN, said


def test_the_index_leads_to_every_page_and_says_what_travels() -> None:
    index = FILES["index.md"]

    counted = "2 steps, 4 callbacks, 2 timeouts, 1 schedule, 2 hooks, 1 connector, 2 migrations"
    assert f"| [orders](orders.md) | `Order` | 5 | {counted} | A shop with everything" in index
    assert "| `event_id` | string | required |" in index
    assert "There is none." in site([])["index.md"]


def test_mermaid_reads_the_diagram_of_a_page() -> None:
    (source,) = re.findall(r"^```mermaid\n(.*?)^```$", MARKDOWN, re.MULTILINE | re.DOTALL)
    with own_mermaid() as parser:
        assert parser.type_of(source) == "stateDiagram"


def test_links_of_markdown_lead_to_pages_and_headings() -> None:
    own = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", MARKDOWN, re.MULTILINE)
    }
    anchors = own | set(re.findall(r'<a id="([^"]+)">', MARKDOWN))
    for target in re.findall(r"\]\(([^)]+)\)", MARKDOWN):
        page, _, anchor = target.partition("#")
        assert page in FILES if page else anchor in anchors, target


def test_html_is_well_formed_stands_alone_and_its_links_lead_somewhere() -> None:
    pages = {name: read(text) for name, text in FILES.items() if name.endswith(".html")}

    assert set(pages) == {"index.html", "orders.html"}
    for page in pages.values():
        assert len(set(page.ids)) == len(page.ids)
        assert not page.tags & {"script", "link", "img", "iframe"}
        for link in page.links:
            name, _, anchor = link.partition("#")
            target = pages[name] if name else page
            assert not anchor or anchor in target.ids, link


def test_html_has_the_picture_where_graphviz_is_there_and_characters_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    graphviz()
    assert "<svg " in FILES["orders.html"]
    monkeypatch.setenv("PATH", "/nonexistent")
    without = site([orders], [Form.HTML])["orders.html"]

    assert "<svg " not in without
    assert "● Created" in without
    assert without_pictures(without) == without_pictures(FILES["orders.html"])
    assert "data-of=" in without_pictures(without)


def test_only_the_forms_that_are_asked_for_are_made() -> None:
    assert set(site([orders], [Form.MARKDOWN])) == {"index.md", "orders.md", "asyncapi.json"}


def test_the_same_workflow_gives_the_same_files() -> None:
    assert site([orders]) == FILES


@given(plain=texts, code=texts, strong=texts, link=texts)
def test_any_text_stays_text_in_html(plain: str, code: str, strong: str, link: str) -> None:
    line: Line = [Plain(plain), Code(code), Strong(strong), Link(link, anchor="a")]
    page = as_html(
        Heading(2, line, "a"), Paragraph(line), Bullets([line]), Table([plain], [[line]]), Folded(plain, [Listing(code, code)])
    )
    expected = {"html", "head", "meta", "title", "style", "body", "nav", "ul", "li", "a", "main", "h2", "p", "code", "strong"}

    assert read(page).tags <= expected | {"div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre"}


@given(plain=texts, code=texts, strong=texts, link=texts)
def test_any_text_stays_text_in_markdown(plain: str, code: str, strong: str, link: str) -> None:
    line: Line = [
        Plain("x "),
        Plain(plain),
        Plain(" x "),
        Code(code or "y"),
        Plain(" x "),
        Strong(strong),
        Plain(" x "),
        Link(link, anchor="a"),
    ]
    tokens = PARSER.parse(
        markdown(page_of(Heading(2, line), Paragraph(line), Bullets([line]), Table(["x", "y"], [[line, line]])))
    )

    assert [token.type for token in tokens if token.type.endswith("_open")] == [
        "heading_open", "paragraph_open",
        "bullet_list_open", "list_item_open", "paragraph_open",
        "table_open", "thead_open", "tr_open", "th_open", "th_open", "tbody_open", "tr_open", "td_open", "td_open",
    ]  # fmt: skip
    inline = {child.type for token in tokens for child in token.children or ()}
    assert inline <= {"text", "text_special", "code_inline", "strong_open", "strong_close", "link_open", "link_close"}


@given(text=texts)
def test_a_paragraph_stays_one_however_it_begins(text: str) -> None:
    tokens = PARSER.parse(markdown(page_of(Paragraph([Plain(text), Plain(" x")]))))

    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]


@given(text=st.text(alphabet="`~ab\n"))
def test_a_fence_holds_whatever_stands_in_it(text: str) -> None:
    (token,) = PARSER.parse(fence("text", text))

    assert token.content.rstrip("\n") == text.rstrip("\n")


def test_docstrings_become_paragraphs_lists_and_examples() -> None:
    doc = "First\nline.\n\n- one\n  more\n- two `x`\n\n    code()\n\n>>> 1 + 1\n2\n\nEnd ``a b``."
    kinds = [type(block).__name__ for block in blocks_of(doc)]

    assert kinds == ["Paragraph", "Bullets", "Listing", "Listing", "Paragraph"]
    assert line_of("a `b` ``c d`` `e") == [Plain("a "), Code("b"), Plain(" "), Code("c d"), Plain(" `e")]
    assert blocks_of("") == []


@given(doc=st.text(alphabet="ab`-*1.) \n>"))
def test_any_docstring_can_be_read(doc: str) -> None:
    markdown(page_of(*blocks_of(doc)))
    read(as_html(*blocks_of(doc)))
