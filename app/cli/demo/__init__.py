"""A simulated shop whose truth is known, and the command that fills a service with it."""
