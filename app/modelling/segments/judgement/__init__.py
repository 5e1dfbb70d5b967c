"""Judges segmentations for people: portraits, the MASDA card, advice, readable rules. Arrays in, plain values out."""
