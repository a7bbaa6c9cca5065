"""The model, its input, its training loop and its exported signatures."""
