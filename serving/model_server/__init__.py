"""A drop-in for tensorflow_model_server: same flags, same protocol."""
