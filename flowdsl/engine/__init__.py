"""The engine: what makes runs move."""
