"""From what was done and what happened to what it was worth: gains with their uncertainty, set against their cost."""
