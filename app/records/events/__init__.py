"""What customers did besides buying."""
