"""Campaigns as experiments: what was planned, who was in which arm, and what it changed."""
