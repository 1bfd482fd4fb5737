"""Personal data that has to go: deletion and retention."""
