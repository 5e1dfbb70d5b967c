"""What customers are expected to buy and to be worth, from when and for how much they bought."""
