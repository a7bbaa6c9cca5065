"""Every speed claim, as a ratio against a named peer or a limit, measured in one run."""
