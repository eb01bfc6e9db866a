"""caddm_hf.evaluation.faces: the largest face of each frame, found and cut."""

from pathlib import Path

import numpy as np
import torch

from caddm_hf.detector import video_detector
from caddm_hf.detector.config import DetectionConfig
from caddm_hf.detector.video_detector import VideoDetector
from caddm_hf.evaluation.data import NO_FACE, open_evaluation_data
from caddm_hf.evaluation.faces import FaceCrops
from caddm_hf.runtime.network import TorchNetwork
from support.made_media import write_video
from support.made_scores import tiny_model

CPU = torch.device("cpu")


def test_what_is_scored_of_a_video_are_the_detectors_crops_decoded_once(
    tmp_path: Path, face_clip: Path, monkeypatch
):
    for name in ("real/a.mp4", "fake/b.mp4", "real/broken.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no video" if "broken" in name else face_clip.read_bytes())
    write_video(tmp_path / "real" / "empty.mp4", [np.full((64, 96, 3), 90, np.uint8)] * 3)
    decoded = []
    original = video_detector.iterate_sampled_frames

    def counted(path, *arguments, **options):
        decoded.append(Path(path).name)
        return original(path, *arguments, **options)

    monkeypatch.setattr(video_detector, "iterate_sampled_frames", counted)
    loaded = tiny_model()
    data = open_evaluation_data(str(tmp_path), frames=3)
    assert data.items_without_points() == []
    cut = FaceCrops(loaded, TorchNetwork(loaded.model, CPU), data, 3, {})
    found = {facts.video_id: cut.of_item(item) for item, facts in enumerate(data.facts)}
    assert sorted(decoded) == ["a.mp4", "b.mp4", "empty.mp4"]
    seen = VideoDetector(loaded, DetectionConfig(frames=3), CPU).look(face_clip)
    (person,) = seen.people
    assert [face.frame_index for face in found["real/a.mp4"]] == [f.frame_index for f in person]
    for mine, theirs in zip(found["real/a.mp4"], person, strict=True):
        assert np.array_equal(mine.crop_rgb, theirs.crop_rgb)
        assert mine.face_px == theirs.face.size_px
    assert {face.failure for face in found["real/empty.mp4"]} == {NO_FACE}
    (broken,) = found["real/broken.mp4"]
    assert broken.failure.startswith("unreadable: ")
