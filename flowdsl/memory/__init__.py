"""The reference adapters: one process, nothing durable, every contract kept."""
