"""Deliveries that wait for somebody outside: callbacks."""
