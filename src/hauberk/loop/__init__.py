"""The closed loop: it decides, and never acts."""
