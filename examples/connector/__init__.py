"""Events of somebody else's stream start runs and move them on."""
