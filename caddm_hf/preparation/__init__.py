"""Data sets of videos -> a collection of frames.

    collection      records -> collection, resumable
    dataset_card    the collection's README
    face_crops      what is cut out of a frame, and how it is stored
    followed_faces  one person's face through a video
    frame_sources   the frames of one record
    hub_upload      the collection's way to the Hub
    joining         several collections -> one, divided into parts
    layouts/        one file a data set: which videos there are, and what they are
    records         what the layouts yield
    shards          files of rows, whole or not at all
    video_account   what became of each video
    video_rows      a genuine video and its fakes -> rows

Tests bear the modules' names, except: dataset_card, hub_upload and layouts/: test_build.py,
test_records.py. shards: test_collection.py. face_crops, followed_faces, frame_sources and
video_account: test_video_rows.py.
"""
