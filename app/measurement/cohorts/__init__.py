"""Cohorts: customers who first bought at one time, followed through the periods after it."""
