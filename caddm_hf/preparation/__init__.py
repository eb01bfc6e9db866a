"""Data sets of videos -> a collection of frames.

    collection      records -> collection, resumable
    dataset_card    the collection's README
    face_crops      crops around faces, and their encoding
    followed_faces  one person's face through a video
    frame_sources   the frames of one record
    hub_upload      uploads a collection to the Hub
    joining         several collections -> one, divided into parts
    layouts/        one file a data set: lists its videos with their labels
    records         what the layouts yield
    shards          files of rows, written completely or not at all
    video_account   rows kept and dropped of each video, with reasons
    video_rows      a genuine video and its fakes -> rows

Tests bear the modules' names, except: dataset_card, hub_upload and layouts/: test_build.py,
test_records.py. shards: test_collection.py. face_crops, followed_faces, frame_sources and
video_account: test_video_rows.py.
"""
