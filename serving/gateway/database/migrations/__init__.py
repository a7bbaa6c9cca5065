"""What brings a database to the shape of tables.py, one version after the other, and back."""
