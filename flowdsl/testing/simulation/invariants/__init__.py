"""What a checker holds a simulated fleet to: I1 to I12, a docstring each."""
