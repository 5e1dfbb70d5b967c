"""Data quality: what came in, what it lacks, how late it was, what was refused, and who has fallen silent."""
