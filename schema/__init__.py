"""Feature keys, label order and curated schemas: the names every stage agrees on."""
