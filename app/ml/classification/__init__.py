"""Probabilities that something will happen to a customer: learned, calibrated, judged out of time, taken apart."""
