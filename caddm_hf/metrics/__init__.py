"""Metrics of scores, and the module for `evaluate`.

    heatmap_metrics  pointing game, energy, IoU
    reliability      calibration error of probabilities
    statistics       intervals, Platt scaling, thresholds
    video_metrics/   frame and video AUC, EER, AP, accuracy, as a module of `evaluate`

Tests bear the modules' names, except: video_metrics/: test_video_metrics.py.
"""
