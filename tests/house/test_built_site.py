"""What looks at the built site finds what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.built_site import problems

SOUND = (
    '<img src="a.svg"><script>1</script><a href="https://example.org/">x</a>'
    '<a href="b.html#there">y</a><a href="#here" id="here">z</a>'
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "a.svg").write_text("<svg/>")
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    (tmp_path / "index.html").write_text(SOUND)
    return tmp_path


def test_a_sound_site_has_no_problems(site: Path) -> None:
    assert list(problems(site)) == []


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ('<script src="https://cdn.example.org/x.js"></script>', "loads https://cdn.example.org/x.js"),
        ('<link rel="stylesheet" href="//fonts.example.org/x.css">', "loads //fonts.example.org/x.css"),
        ('<img src="c.svg">', "loads c.svg"),
        ('<a href="c.html">c</a>', "leads to c.html, which is not there"),
        ('<a href="b.html#nowhere">b</a>', "leads to b.html#nowhere, where there is no such place"),
        ("<pre>stateDiagram-v2\n  a --> b</pre>", "shows Mermaid text"),
    ],
)
def test_what_is_wrong_is_told(site: Path, more: str, found: str) -> None:
    (site / "index.html").write_text(SOUND + more)

    assert list(problems(site)) == [f"index.html {found}"]
