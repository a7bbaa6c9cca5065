"""What callers send: bodies of requests, and the pictures in them."""
