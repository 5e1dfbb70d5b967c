"""Webhooks: receivers are told of customers who enter and leave segments."""
