"""Figures about one customer at one instant, each defined once and read by one select."""
