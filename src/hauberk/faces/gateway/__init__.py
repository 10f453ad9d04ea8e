"""The gateway: a guarded model behind the Open Inference Protocol."""
