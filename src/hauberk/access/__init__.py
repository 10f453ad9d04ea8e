"""Who may ask what, how often, and what is kept sealed."""
