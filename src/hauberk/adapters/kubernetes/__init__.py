"""Kubernetes: objects as plain trees, a leader's lease, events that people read."""
