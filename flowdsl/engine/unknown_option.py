"""Keyword options that a verb does not have."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from flowdsl.errors import ConfigurationError


def refuse_unknown_options(options: Mapping[str, object], known: Collection[str], what: str) -> None:
    """Raise ConfigurationError for an option that there is not. In: what they are options of, e.g. "a trigger"."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ConfigurationError(f"{what} has no option {name!r}.", remedy=f"{hint}Known: {', '.join(known)}.")
