"""Records, pending rows, history, items and leases in SQLite, PostgreSQL and MariaDB."""
