"""One module per TFX stage: its builder and, where TFX's is not enough, its executor."""
