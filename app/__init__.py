"""Tessera: customer segmentation that proves what it was worth."""

__version__ = "0.1.0"
