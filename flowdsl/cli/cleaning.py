"""Text that is safe to print: run data may hold anything, a URL may hold a password."""

from __future__ import annotations

import re
import unicodedata

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that move the cursor, change the direction of text or end a line. Joiners (Cf) of some scripts are
among them: better a visible escape than text that lies."""
_USERINFO = re.compile(r"(://[^\s:/?#@]*):[^\s/?#]*@")
_USERINFO_ODD = re.compile(r"(://[^\s:/?#@]*):\S*@")
_SECRET_PARAMETER = re.compile(r"([?&;](?:password|passwd|pwd|passphrase|secret|token|sslpassword)=)[^&;\s'\"]*", re.IGNORECASE)


def clean(text: str) -> str:
    """One line, with every control character as its Python escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def clean_lines(text: str) -> str:
    """As `clean`, keeping line breaks."""
    return "\n".join(clean(line) for line in text.split("\n"))


def masked(text: str) -> str:
    """The text with passwords in URLs replaced by ***."""
    text = _USERINFO.sub(r"\1:***@", text)
    text = _USERINFO_ODD.sub(r"\1:***@", text)  # a password with a slash that nobody quoted
    return _SECRET_PARAMETER.sub(r"\1***", text)


def _escaped(char: str) -> str:
    number = ord(char)
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char)
    if short is not None:
        return short
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
