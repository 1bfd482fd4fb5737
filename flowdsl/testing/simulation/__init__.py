"""Whole fleets in one thread, from one seed: processes die, calls fail, answers and events get lost, clocks jump, and afterwards
a checker asks the store whether every promise was kept. `python -m flowdsl.testing.simulation --help` runs it."""
