"""Finds faces in frames, their landmarks, and the person that each belongs to.

    detection  the face detector: MTCNN on frames of any size
    landmarks  five points, outline and mask of a face from its landmarks
    mtcnn      MTCNN's three networks on a batch of frames
    tracking   joins the faces of a clip to persons

Tests bear the modules' names.
"""
