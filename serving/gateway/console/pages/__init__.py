"""The pages of the console; each module adds its own routes."""
