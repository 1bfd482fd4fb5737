"""How a workflow is tested: in one thread, with a clock that the test moves, and under every mishap."""
