"""Segmentations: learned, put to work, kept current."""
