"""Measured ratios, side by side in one run: what `make bench` prints."""
