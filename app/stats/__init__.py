"""Pure statistics: arrays and sufficient statistics in, frozen values out; no database, no web, no rows."""
