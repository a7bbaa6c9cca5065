"""The DAG, its runners and the loupe command line."""
