"""Long work: enqueued in the caller's transaction, run by a worker, resumed after a crash."""
