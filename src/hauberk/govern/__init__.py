"""Evidence to a decision and its proof."""
