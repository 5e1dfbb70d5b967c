"""What we infer from what happened: features, segments, memberships."""
