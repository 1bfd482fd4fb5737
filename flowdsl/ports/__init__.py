"""The four ports. Each docstring is the contract that the suites in `flowdsl.testing.contracts` check."""
