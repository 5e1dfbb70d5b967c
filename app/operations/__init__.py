"""Running the service: keys, the audit log, jobs, data quality."""
