"""Data sets of videos -> a collection of frames."""
