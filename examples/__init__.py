"""Programs to read and to start: `python -m examples.NAME`."""
