"""Numbers about scores, and the module for `evaluate`."""
