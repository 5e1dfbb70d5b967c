"""Audiences of campaigns: handed out without their holdout."""
