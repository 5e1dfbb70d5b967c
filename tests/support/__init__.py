"""Builders, oracles and real processes for tests."""
