"""What people and CI use around the project: set-up of the environment, standard library only."""
