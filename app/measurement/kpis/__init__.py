"""Key figures, each defined once and answered with its uncertainty."""
