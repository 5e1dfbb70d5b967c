"""The audit log: every change, by which key, when."""
