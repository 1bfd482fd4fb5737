"""Durable, event-driven workflows inside your own services."""
