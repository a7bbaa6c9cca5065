"""Bytes to pixels, once: the graph that training and serving share."""
