"""A Kubernetes API server small enough to start in a test, and the schemas it validates by."""
