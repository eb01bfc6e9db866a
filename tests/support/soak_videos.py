"""Many videos through one detector of one process; prints what was kept, as JSON.

A process of its own, so that what other tests left in memory neither hides growth nor adds to it.
"""

import gc
import json
import os
import sys
from pathlib import Path

from caddm_hf.core.memory import return_freed_memory
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.media.limits import MediaError
from support.made_scores import tiny_model


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def handles() -> int:
    """How many files, pipes and sockets are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def soak(files: list[str], videos: int, settled: int) -> dict:
    """`videos` times one of the files in turn; memory and handles after `settled` and at the end.

    Returns:
        judged, refused: numbers of videos; bytes_settled, bytes_after: resident memory;
        handles_settled, handles_after.
    """
    detector = VideoDetector(tiny_model(), DetectionConfig(frames=4), "cpu")
    found = {"judged": 0, "refused": 0}
    for number in range(videos):
        if number == settled:
            found |= {"bytes_settled": resident_bytes(), "handles_settled": handles()}
        try:
            detector(files[number % len(files)])
            found["judged"] += 1
        except MediaError:
            found["refused"] += 1
        return_freed_memory()  # as every worker does between two jobs
    return found | {"bytes_after": resident_bytes(), "handles_after": handles()}


if __name__ == "__main__":
    print(json.dumps(soak(sys.argv[3:], int(sys.argv[1]), int(sys.argv[2]))))
