"""What all routers share: problems, keys and scopes, sessions, strict bodies, paging, idempotency."""
