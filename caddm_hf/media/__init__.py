"""The file or address of a stranger -> upright frames.

    conversion  upright 8-bit RGB
    download    path or URL -> local file
    files       opens a file within its limits, and watches over reading it
    frames      probe, sample, decode in order
    limits      what a file may cost, what it holds, MediaError
    mp4_header  what an MP4 claims of its length
    names       how messages and reports name a file or address
    pictures    JPEG, PNG and the like
    prefetch    frames read in a thread ahead
    seeking     from keyframe to keyframe
    stream      FFmpeg on a lead

Tests bear the modules' names, except: download: test_addresses.py, too. limits and names:
test_files.py.
"""
