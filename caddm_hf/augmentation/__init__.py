"""Crops that are forged or degraded on purpose.

    blending       blending masks, and blending by alpha or Poisson
    changes        where two crops differ
    degradations   what cameras and networks do to a crop, at random
    distortions    the seven distortions of the robustness test
    donors         the donor of a blend: a face in a similar pose
    facial_swap    multi-scale facial swap
    self_blending  forgeries made of genuine pictures only

Tests bear the modules' names, except: blending: test_self_blending.py, faces/test_landmarks.py.
distortions: test_degradations.py. facial_swap: test_facial_swap_boxes.py, too.
"""
