"""The values that are stored and passed on. No I/O, no user types: statuses are text, objects are bytes."""
