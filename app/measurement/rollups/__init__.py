"""Key figures added up ahead of the question, and always equal to what the facts themselves would answer."""
