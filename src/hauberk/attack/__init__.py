"""Model, batch and threat to a perturbed batch."""
