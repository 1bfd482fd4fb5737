"""What is printed is safe and readable: control characters, passwords, durations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from flowdsl.cli.cleaning import clean, clean_lines, masked
from flowdsl.cli.main import app
from flowdsl.cli.problem import UsageProblem
from flowdsl.cli.span import parse_moment, span_text
from flowdsl.errors import FlowError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 日本", "grüße 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\u202edef", "abc\\u202edef"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_no_text_reaches_a_terminal_with_a_character_that_moves_the_cursor(text: str) -> None:
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in clean(text))
    assert clean_lines(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://root:hunter2@db/x", "postgresql+psycopg://root:***@db/x"),
        ("cannot reach mysql://u:hunter2@h:3306/d now", "cannot reach mysql://u:***@h:3306/d now"),
        ("postgresql://u:hunt/er2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:hunt@er2@h/d", "postgresql://u:***@h/d"),
        ("postgresql://h/d?user=u&password=hunter2&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("redis://:hunter2@h", "redis://:***@h"),
        ("sqlite:///orders.db", "sqlite:///orders.db"),
        ("at 10:30 write to a@b", "at 10:30 write to a@b"),
    ],
)
def test_passwords_of_urls_are_never_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.34, "340ms"),
        (1.25, "1.2s"),
        (59.99, "59.9s"),
        (184, "3m04s"),
        (7500, "2h05m"),
        (273600, "3d04h"),
        (-2, "-2s"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, shown: str) -> None:
    assert span_text(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("1w", NOW - timedelta(days=7)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T09:00:00+02:00", datetime(2026, 1, 31, 7, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_a_span_before_now(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW, "--since") == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2 h", "10y", "99999999999999w", "٣s"])
def test_a_moment_that_is_neither_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(UsageProblem, match="--since"):
        parse_moment(text, NOW, "--since")


def every_command(command: Any, path: str = "flowdsl") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from every_command(inner, f"{path} {name}")


def help_of(path: str, columns: int = 80) -> str:
    asked = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, [*path.split()[1:], "--help"], prog_name="flowdsl")
    assert asked.exit_code == 0, path
    return asked.stdout


def test_help_names_what_an_option_takes_and_flags_take_nothing() -> None:
    for path, command in every_command(get_command(app)):
        for parameter in command.params:
            if getattr(parameter, "is_flag", False) or parameter.name.endswith("_completion"):
                assert not parameter.metavar, f"{path} {parameter.opts}"
            else:
                assert parameter.metavar, f"{path} {parameter.opts}"
    states = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["runs", "--help"]).stdout
    assert re.search(r"--state +-s +STATE ", states)
    assert re.search(r"--limit +-n +N ", states)
    assert re.search(r"--order +newest\|oldest ", states)


@pytest.mark.parametrize("columns", [80, 120])
def test_no_help_shows_the_names_of_types(columns: int) -> None:
    for path, _ in every_command(get_command(app)):
        text = help_of(path, columns)
        assert not re.search(r"<\w+(\[\w+\])?>|\b(TEXT|INTEGER|FLOAT|BOOLEAN|PATH|CHOICE)\b", text), f"{path}: {text}"
        assert not re.search(r"[{}]", text), f"{path}: an argument in the usage line is a word"
        assert max(len(line) for line in text.splitlines()) <= columns, path


def test_help_of_an_argument_says_how_often_it_may_be_given() -> None:
    assert "Usage: flowdsl pause [OPTIONS] RUN...\n" in re.sub(" +\n", "\n", help_of("flowdsl pause"))
    assert "Usage: flowdsl schedules preview [OPTIONS] [SCHEDULE]\n" in re.sub(" +\n", "\n", help_of("flowdsl schedules preview"))


def test_help_names_every_choice_between_words_of_the_text_where_there_are_many() -> None:
    text = " ".join(help_of("flowdsl graph").replace("│", " ").split())

    assert "One of mermaid, flowchart, dot, svg, png, pdf, table, json, text, ascii." in text
    assert "LR|RL|TB|BT" in text


def test_the_list_of_commands_says_each_in_two_lines_and_begins_to_look_with_runs() -> None:
    text = help_of("flowdsl")
    looking = text[text.index("─ Look ") :]

    assert looking.index("│ runs ") < looking.index("│ show ")
    assert not re.search(r"(│ {15,}.*\n){2}", text[text.index("─ Work ") :])


def test_a_paragraph_of_a_help_text_has_no_line_breaks_of_the_source() -> None:
    texts = [command.help for _, command in every_command(get_command(app)) if command.help]

    assert len(texts) > 20
    assert [text for text in texts if any("\n" in paragraph for paragraph in text.split("\n\n"))] == []


@pytest.mark.parametrize(
    ("cause", "remedy", "said"),
    [
        ("It broke", "Mend it.", "It broke. Mend it."),
        ("It broke.", "Mend it.", "It broke. Mend it."),
        ("It broke..", "Mend it.", "It broke. Mend it."),
        ("It broke..", None, "It broke."),
        ("It broke", None, "It broke"),
        ("and so on...", "Wait.", "and so on... Wait."),
    ],
)
def test_a_cause_and_its_remedy_are_two_sentences(cause: str, remedy: str | None, said: str) -> None:
    assert str(FlowError(cause, remedy=remedy)) == said
