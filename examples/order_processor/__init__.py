"""A file of orders, processed durably."""
