"""Who asks: API keys, bearer tokens, and which route needs what."""
