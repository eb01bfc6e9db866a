"""Frames -> faces, their tracks and landmarks.

    detection  MTCNN behind one interface
    landmarks  points -> five points, outline, filled outline
    mtcnn      the search over a batch of frames
    tracking   who is who from frame to frame

Tests bear the modules' names.
"""
