"""What runs in the environments of other drift monitors."""
