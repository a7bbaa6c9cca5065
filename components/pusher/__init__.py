"""Pusher: a blessed model becomes a version folder, complete or not at all."""
