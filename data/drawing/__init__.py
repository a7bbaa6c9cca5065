"""Draws the built-in sample data: products, the scenes they stand in, the camera, and defects."""
