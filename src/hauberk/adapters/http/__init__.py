"""Models and clients over HTTP."""
