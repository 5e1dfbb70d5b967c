"""What currencies were worth on each day."""
