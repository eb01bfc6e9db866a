"""Video in, report out."""
