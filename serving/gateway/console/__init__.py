"""The web console: pages for people, rendered on the server, with nothing from anywhere else."""
