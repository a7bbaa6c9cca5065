"""Evaluator: the bars a model must clear, measured on the bytes that serving would get."""
