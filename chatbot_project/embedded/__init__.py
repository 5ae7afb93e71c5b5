"""The embedded default: PostgreSQL, Redis and a local model out of wheels, for whoever configures none of their own."""
