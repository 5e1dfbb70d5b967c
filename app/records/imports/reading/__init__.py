"""Files of any format as one kind of table, and nothing of what their columns mean."""
