"""Compare the speed of our detector and of the original implementation's method.

Run from the repository's root:

    pip install -r benchmarks/requirements.txt
    python benchmarks/against_original.py [CLIP ...] [--backbone resnet34] [--backend torch]

The original's method: OpenCV reads every frame, dlib's frontal detector searches 32 evenly spaced
frames enlarged once, 68 landmarks are found on the largest face, and PyTorch scores the aligned
faces in one eager batch. The result is one score for each frame. Ours is the whole detector,
report included. Both use the same network with the same random weights. Rounds alternate, so that
other load on the machine affects both; medians are shown. Without a clip, those of
`detector_stages.py` are used.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import _paths  # noqa: F401
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.media.frames import sample_indices
from caddm_hf.model.face_alignment import alignment_matrix, warp_face
from caddm_hf.model.modeling_caddm import CaddmForDeepfakeDetection
from caddm_hf.runtime.names import BACKENDS
from detector_stages import Times, made_clips, timed, untrained_detector

FRAMES = 32


class OriginalWay:
    """Decode all, dlib, eager forward.

    Args:
        detector: its network and processor are used.
    """

    def __init__(self, detector: VideoDetector):
        try:
            import dlib
        except ImportError:
            sys.exit("This needs dlib: pip install -r benchmarks/requirements.txt")
        # The package itself cannot be imported without setuptools' pkg_resources.
        package = importlib.util.find_spec("face_recognition_models")
        if package is None:
            sys.exit("This needs landmarks: pip install -r benchmarks/requirements.txt")
        models = Path(package.submodule_search_locations[0]) / "models"
        self._find = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(
            str(models / "shape_predictor_68_face_landmarks.dat")
        )
        self._processor = detector.image_processor
        self._model: CaddmForDeepfakeDetection = CaddmForDeepfakeDetection(detector.model.config)
        self._model.load_state_dict(detector.model.state_dict())
        self._model.eval()
        self.times: dict[str, Times] = {}

    def __call__(self, clip: Path) -> list[float]:
        """A score for each frame in which a face is found."""
        self.times["decode"], frames = timed(lambda: self._decode(clip))
        self.times["faces"], crops = timed(lambda: self._crops(frames))
        self.times["forward"], scores = timed(lambda: self._score(crops))
        return scores

    def _decode(self, clip: Path) -> list[np.ndarray]:
        video = cv2.VideoCapture(str(clip))
        wanted = set(sample_indices(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), FRAMES).tolist())
        kept, number = [], 0
        while True:
            read, frame = video.read()
            if not read:
                return kept
            if number in wanted:
                kept.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            number += 1

    def _crops(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        crops = []
        for frame in frames:
            faces = self._find(frame, 1)
            if faces:
                shape = self._landmarks(frame, max(faces, key=lambda face: face.area()))
                points = np.array([(point.x, point.y) for point in shape.parts()], float)
                five = [points[36:42].mean(0), points[42:48].mean(0), *points[[30, 48, 54]]]
                size = self._processor.size
                matrix = alignment_matrix(np.array(five), size, self._processor.align_scale)
                crops.append(warp_face(frame, matrix, size))
        return crops

    @torch.no_grad()
    def _score(self, crops: list[np.ndarray]) -> list[float]:
        output = self._model(self._processor.pixel_values(crops))
        return output.logits.softmax(-1)[:, 1].tolist()


def compare(clip: Path, original: OriginalWay, detector: VideoDetector, rounds: int) -> None:
    """Print the times of both on a clip."""
    ways: dict[str, Callable[[Path], object]] = {"original": original, "ours": detector}
    taken: dict[str, list[Times]] = {name: [] for name in ways}
    parts: list[dict[str, Times]] = []
    for _ in range(rounds):
        for name, way in ways.items():
            times, answer = timed(lambda way=way: way(clip))
            taken[name].append(times)
            if name == "original":
                parts.append(dict(original.times))
                faces = len(answer)
            else:
                ours = sum(len(person.faces) for person in answer.people)
    print(f"{clip.name}, {rounds} rounds, faces found: original {faces}, ours {ours}")
    for kind, unit in enumerate(("wall s", "CPU s")):
        medians = {
            name: statistics.median(times[kind] for times in all_times)
            for name, all_times in taken.items()
        }
        stages = ", ".join(
            f"{name} {statistics.median(part[name][kind] for part in parts):.2f}"
            for name in parts[0]
        )
        ratio = medians["original"] / medians["ours"]
        print(
            f"  {unit:6}  original {medians['original']:6.2f} ({stages})  "
            f"ours {medians['ours']:5.2f}  {ratio:.1f} times faster"
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--backbone", default="resnet34", help="of timm (default: resnet34)")
    parser.add_argument("--backend", choices=BACKENDS, default="torch", help="of ours")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    detector = untrained_detector(options.backbone, options.backend)
    original = OriginalWay(detector)
    print(f"{options.backbone}, {torch.get_num_threads()} threads, ours with {options.backend}")
    with tempfile.TemporaryDirectory() as folder:
        clips = options.clips or made_clips(Path(folder))
        detector(clips[0], frames=8)  # libraries set themselves up
        for clip in clips:
            compare(clip, original, detector, options.rounds)


if __name__ == "__main__":
    main()
