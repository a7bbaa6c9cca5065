"""How many requests a caller may make: token buckets in memory, the database or Redis."""
