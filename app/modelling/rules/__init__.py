"""Segments that people write: conditions over features and histories, checked, asked in SQL, decided in arrays."""
