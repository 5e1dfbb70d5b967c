"""Merging, exporting and erasing people, in every table that knows them."""
