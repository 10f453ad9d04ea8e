"""A model and data to a better model."""
