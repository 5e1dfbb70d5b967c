"""Fitted models: kept whole and signed, opened only when they are what was signed."""
