"""Buy-till-you-die models: how often customers buy, whether they still do, what they will be worth."""
