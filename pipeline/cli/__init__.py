"""The loupe command line."""
