"""A request to a cleaned request and a suspicion."""
