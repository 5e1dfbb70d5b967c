"""Rows of a table put together into records that can be stored."""
