"""Redis and Valkey: counts that replicas share."""
