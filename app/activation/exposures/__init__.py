"""Exposures that others made: arms assigned elsewhere, pushed as rows like any other bulk write."""
