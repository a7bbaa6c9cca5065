"""Tables, queries and migrations of the prediction API."""
