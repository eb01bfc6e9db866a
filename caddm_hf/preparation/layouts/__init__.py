"""How data sets lie on a disk, one file for each.

    caddm_frames   the frame folders of the original project
    celeb_df       Celeb-DF v2 and Celeb-DF++
    dfdc           the Deepfake Detection Challenge
    dfdc_preview   its preview
    faceforensics  FaceForensics++ with DeepFakeDetection
    video_folder   anybody's videos: a folder or a CSV

Tests: All of them: preparation/test_records.py.
"""
