"""What vetting knows beforehand, as data."""
