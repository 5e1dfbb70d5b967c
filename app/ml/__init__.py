"""Pure machine learning: columns of features in, plain arrays out; no database, no web, no clock."""
