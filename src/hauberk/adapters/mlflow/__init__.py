"""MLflow as the registry that a team already has."""
