"""Attributions of one decision, how far each can be trusted, and the picture of a case."""
