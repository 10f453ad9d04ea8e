"""Attacks to evidence."""
