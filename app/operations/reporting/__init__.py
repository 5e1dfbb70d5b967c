"""Database roles for BI tools, which read the views of the schema `reporting` and nothing else."""
