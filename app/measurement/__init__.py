"""What it was worth: key figures now, experiments and returns on top of them."""
