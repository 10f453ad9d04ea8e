"""What is let in: model files, settings, packages and secrets, looked at and never run."""
