"""A job from what a person sets to what the solvers are told: the settings, and what follows from the data."""
