"""Compare the results of two commits of this repository on the same videos.

    git worktree add ../earlier COMMIT
    python benchmarks/same_scores.py ../earlier CLIP [CLIP ...]

judges every clip with both, with this commit's bundled model in torch, and shows the largest
differences of a video's and of a frame's probability, and of boxes in units of their width. A
speed-up must not change the results.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
JUDGE = """
import inspect, json, sys
sys.path.insert(0, sys.argv[1])
from caddm_hf import VideoDetector
load = VideoDetector.from_pretrained
backend = {"backend": "torch"} if "backend" in inspect.signature(load).parameters else {}
detector = load(sys.argv[2], device="cpu", **backend)
found = {}
for clip in sys.argv[4:]:
    report = detector(clip)
    people = [
        {face.frame_index: [*face.box_xyxy, face.fake_probability] for face in person.faces}
        for person in report.people
    ]
    found[clip] = [report.judgement.fake_probability, people]
with open(sys.argv[3], "w") as file:
    json.dump(found, file)
"""


def judged(source: Path, model: Path, clips: list[str]) -> dict:
    """Results of a commit: clip -> [probability, faces of each person]."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        words = [sys.executable, "-c", JUDGE, source, model, out, *clips]
        subprocess.run(list(map(str, words)), check=True, cwd=folder)
        return json.loads(out.read_text())


def differences(earlier: list, now: list) -> tuple[float, float, float] | None:
    """Largest differences of a clip: video, frame, box; None if other faces were found."""
    (probability_a, people_a), (probability_b, people_b) = earlier, now
    if [person.keys() for person in people_a] != [person.keys() for person in people_b]:
        return None
    frames, boxes = [0.0], [0.0]
    for person_a, person_b in zip(people_a, people_b, strict=True):
        for index, (*box_a, score_a) in person_a.items():
            *box_b, score_b = person_b[index]
            frames.append(abs(score_a - score_b))
            width = max(box_a[2] - box_a[0], 1.0)
            boxes.append(max(abs(a - b) for a, b in zip(box_a, box_b, strict=True)) / width)
    return abs((probability_a or 0) - (probability_b or 0)), max(frames), max(boxes)


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path, help="a checkout of another commit")
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    parser.add_argument("--model", type=Path, default=HERE / "checkpoints" / "caddm-lite0")
    options = parser.parse_args()
    clips = [str(Path(clip).resolve()) for clip in options.clips]
    places = (options.earlier.resolve(), HERE)
    before, now = (judged(place, options.model.resolve(), clips) for place in places)
    found = {clip: differences(before[clip], now[clip]) for clip in clips}
    for clip, figures in found.items():
        words = "video {:.5f}, frame {:.5f}, box {:.5f}".format(*figures) if figures else "others"
        print(f"{Path(clip).name}: {words}")
    alike = [figures for figures in found.values() if figures]
    print(f"{len(alike)} of {len(clips)} clips with the same people and faces")
    if alike:
        largest = tuple(max(column) for column in zip(*alike, strict=True))
        print("largest: video {:.5f}, frame {:.5f}, box {:.5f} of its width".format(*largest))


if __name__ == "__main__":
    main()
