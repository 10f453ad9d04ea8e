"""Kubeflow Trainer: the loop's jobs as objects of a cluster."""
