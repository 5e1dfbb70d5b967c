"""Rows that were refused: kept, listed, and tried again once they are mended."""
