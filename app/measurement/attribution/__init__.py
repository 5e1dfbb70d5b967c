"""Which channels and campaigns get credit for what customers bought, and how far that credit is from the truth."""
