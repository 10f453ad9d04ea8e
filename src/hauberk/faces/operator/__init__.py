"""The operator: ``ModelShield`` objects, each driven by the closed loop."""
