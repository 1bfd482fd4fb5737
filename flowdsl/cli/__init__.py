"""The command line. An edge: it speaks to engines as any program would."""
