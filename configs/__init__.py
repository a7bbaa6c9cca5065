"""Settings: one frozen dataclass per stage, the error tree, and the loader."""
