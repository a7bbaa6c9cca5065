"""Asks the model: the server behind this service, or what stands in for it."""
