"""ExampleGen: image files in, raw examples and a quarantine list out."""
