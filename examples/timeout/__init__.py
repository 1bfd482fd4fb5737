"""Reservations that end by themselves: timeouts."""
