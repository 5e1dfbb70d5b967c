"""What happened: customers, transactions, events, costs, and the files and trackers they come from."""
