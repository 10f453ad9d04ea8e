"""The loop's work as a Kubeflow pipeline: the same functions, run here or on a cluster."""
