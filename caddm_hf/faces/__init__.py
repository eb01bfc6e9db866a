"""Frames -> faces, their tracks and landmarks."""
