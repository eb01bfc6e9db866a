"""Numbers about scores, and the module for `evaluate`.

    heatmap_metrics  pointing game, energy, IoU
    reliability      how far probabilities are off: calibration error
    statistics       intervals, Platt scaling, thresholds
    video_metrics/   frame and video AUC, EER, AP, accuracy, as a module of `evaluate`

Tests bear the modules' names, except: video_metrics/: test_video_metrics.py.
"""
