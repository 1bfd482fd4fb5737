"""Which way the arrows of a diagram point."""

from __future__ import annotations

from enum import Enum


class Direction(Enum):
    """From where to where."""

    LR = "LR"
    """From left to right."""
    RL = "RL"
    TB = "TB"
    """From top to bottom."""
    BT = "BT"
