"""Reads a stranger's file or address, and yields upright frames.

    conversion  converts decoded frames to upright 8-bit RGB
    download    downloads a URL to a local file
    files       opens a file within its limits, and ends reading at a deadline
    frames      probes a file, samples it and decodes frames in order
    limits      what a file may cost, what it holds, MediaError
    mp4_header  the duration that an MP4 header claims
    names       how messages and reports name a file or address
    pictures    still pictures: JPEG, PNG and others
    prefetch    decodes frames in a thread, ahead of their use
    seeking     decodes only the packets that the wanted frames need
    stream      opens a video with FFmpeg; packets and undamaged frames

Tests bear the modules' names, except: download: test_addresses.py, too. limits and names:
test_files.py.
"""
