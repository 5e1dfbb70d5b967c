"""Comparing groups, from sufficient statistics that add up over days and strata."""
