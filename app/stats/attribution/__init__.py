"""How credit for outcomes is shared among the channels that customers met on their way."""
