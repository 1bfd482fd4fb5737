"""Telling others what happens to runs: hooks."""
