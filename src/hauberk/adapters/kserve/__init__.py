"""KServe: the gateway within an ``InferenceService``, and its share of the traffic."""
