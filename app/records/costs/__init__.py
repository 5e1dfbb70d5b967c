"""What was spent to win and keep customers."""
