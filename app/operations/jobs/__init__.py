"""Jobs as their callers follow them."""
