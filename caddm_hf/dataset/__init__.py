"""Collections of frames: schema, opening, rows.

    frame_table   a collection in random access, with pairs of the same moment
    genuine       portraits joined to a collection
    lost_videos   videos that data preparation could not use
    opening       find and load a split of a collection
    parquet       Parquet -> `datasets`, after a check of the unpacked size
    pictures      pictures stored in rows
    point_search  landmarks for rows without them, found once and cached
    rows          a split of any collection, opened for measuring
    schema        columns, labels, FrameDataError
    splits        the names of splits

Tests bear the modules' names, except: schema: test_frame_table.py. splits:
test_opening.py. pictures: checkpoint/test_files.py. rows: evaluation/test_data.py.
"""
