"""Hauberk: security for machine-learning models over their whole life."""

__version__ = "0.1.0"
