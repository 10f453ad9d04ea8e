"""What the gateway asks of other servers."""
