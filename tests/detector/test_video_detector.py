import json
import threading
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

from caddm_hf import DetectionConfig, MediaError, ModelError, Verdict, VideoDetector
from caddm_hf.checkpoint.loading import LoadedModel, load_model, untrained_model
from caddm_hf.evaluation.score_table import gather_videos
from caddm_hf.report.verdicts import LogitScaling, Reason, Thresholds, log_odds
from support.made_media import write_video
from support.made_scores import MadeVideo, made_table

DECIDED = Thresholds(0.5, 0.5)


@pytest.fixture(scope="module")
def detector() -> VideoDetector:
    return VideoDetector.untrained(config=DetectionConfig(thresholds=DECIDED))


def two_people(count: int) -> Iterator[np.ndarray]:
    """The portrait on the left and a mirrored one in other colours on the right."""
    one = data.astronaut()[0:300, 80:380]
    other = cv2.convertScaleAbs(one[:, ::-1, ::-1], alpha=0.8)
    for number in range(count):
        frame = np.zeros((300, 640, 3), np.uint8)
        frame[:, number : number + 300] = one
        frame[:, 330 - number : 630 - number] = other
        yield frame


def test_one_person(detector, face_clip):
    report = detector(face_clip, frames=16)
    assert report.frames_sampled == 16
    (person,) = report.people
    assert [face.frame_index for face in person.faces] == np.linspace(0, 39, 16).astype(
        int
    ).tolist()
    assert [face.time_s for face in person.faces] == pytest.approx(
        [face.frame_index / 25 for face in person.faces], abs=1e-3
    )
    assert report.duration_s == pytest.approx(1.6, abs=0.01)
    mean = np.mean([face.fake_probability for face in person.faces])
    assert person.judgement.fake_probability == pytest.approx(mean)
    assert report.judgement == person.judgement
    assert report.main_person is person
    assert "untrained" in report.warnings[0]
    face = person.most_suspicious
    assert face.crop_rgb.shape == (224, 224, 3)
    assert face.heatmap.shape == (224, 224)
    assert 0 <= face.heatmap.min() <= face.heatmap.max() <= 1
    x0, y0, x1, y1 = face.box_xyxy
    assert 40 < x1 - x0 < 160
    assert 0 <= x0 < x1 <= 400
    assert 0 <= y0 < y1 <= 320


def test_two_people_keep_their_identities(detector, tmp_path):
    report = detector(write_video(tmp_path / "two.mp4", two_people(30)), frames=15)
    assert [len(person.faces) for person in report.people] == [15, 15]
    middles = [
        [(face.box_xyxy[0] + face.box_xyxy[2]) / 2 for face in person.faces]
        for person in report.people
    ]
    left, right = sorted(middles)
    assert max(left) < 320 < min(right)
    probabilities = [person.judgement.fake_probability for person in report.people]
    assert probabilities == sorted(probabilities, reverse=True)
    assert report.judgement.fake_probability == probabilities[0]


def test_scores_are_those_of_the_model_on_the_aligned_faces(detector, face_picture):
    """The whole way equals processor and model called by hand on the same points."""
    picture = np.asarray(Image.open(face_picture))
    (face,) = detector.face_detector.detect([picture])[0]
    values = detector.image_processor(picture, landmarks=face.landmarks_xy)
    with torch.inference_mode():
        expected = detector.model.fake_probability(detector.model(**values))
    report = detector(face_picture)
    assert report.people[0].faces[0].fake_probability == pytest.approx(float(expected), abs=1e-5)


def test_picture_is_judged_by_its_one_frame(detector, face_picture):
    report = detector(face_picture)
    assert report.frames_sampled == 1
    assert report.duration_s == 0
    assert report.judgement.verdict in (Verdict.REAL, Verdict.FAKE)


def test_no_face(detector, empty_clip):
    report = detector(empty_clip)
    assert report.people == []
    assert report.judgement.reason is Reason.NO_FACE
    assert report.judgement.fake_probability is None
    assert report.main_person is None


def test_one_frame_is_too_few_unless_asked_for(detector, tmp_path):
    clip = write_video(tmp_path / "one.mp4", [data.astronaut()[:400]])
    assert detector(clip).judgement.reason is Reason.TOO_FEW_FRAMES
    asked = detector(clip, frames=1)
    assert asked.judgement.verdict in (Verdict.REAL, Verdict.FAKE)


def test_small_faces(detector, tmp_path):
    far = cv2.resize(data.astronaut(), (180, 180), interpolation=cv2.INTER_AREA)
    clip = write_video(tmp_path / "far.mp4", [far] * 12)
    assert detector(clip).judgement.reason is Reason.FACES_TOO_SMALL


def test_undecided_band(face_clip):
    unsure = VideoDetector.untrained(config=DetectionConfig(thresholds=Thresholds(0.0, 1.0)))
    report = unsure(face_clip, frames=6)
    assert report.judgement.reason is Reason.TOO_CLOSE
    assert report.judgement.fake_probability is not None


def test_thresholds_come_with_the_checkpoint():
    loaded = untrained_model()
    loaded.model.config.real_below, loaded.model.config.fake_above = 0.2, 0.8
    assert VideoDetector(loaded).thresholds == Thresholds(0.2, 0.8)


def test_people_are_judged_by_the_calibrated_mean(tmp_path):
    """Calibration changes each frame by itself, and a person's mean as a whole."""
    loaded = untrained_model()
    scaling = LogitScaling(3.0, -1.2)
    loaded.model.config.calibration_temperature = scaling.temperature
    loaded.model.config.calibration_bias = scaling.bias
    detector = VideoDetector(loaded, DetectionConfig(thresholds=DECIDED))
    clip = write_video(tmp_path / "two.mp4", two_people(30))
    seen = detector.look(clip, frames=8)
    logits = [log_odds(score) for score in detector.score(seen.crops()).uncalibrated]
    with torch.no_grad():  # random weights hardly tell faces apart: give them opinions
        scale = 3 / np.std(logits)
        loaded.model.classifier.weight *= scale
        loaded.model.classifier.bias *= scale
        loaded.model.classifier.bias[1] -= scale * np.median(logits)
    report = detector.report(seen, detector.score(seen.crops()))
    assert len(report.people) == 2
    for person in report.people:
        plain = [face.uncalibrated_probability for face in person.faces]
        assert max(plain) - min(plain) > 0.01
        assert [face.fake_probability for face in person.faces] == pytest.approx(
            [scaling.calibrated(probability) for probability in plain], abs=1e-5
        )
        assert person.judgement.fake_probability == pytest.approx(
            scaling.calibrated(np.mean(plain))
        )
    assert report.scaling == scaling
    # An evaluation of the same frames serves the same probability.
    person = report.people[0]
    logits = [log_odds(face.uncalibrated_probability) for face in person.faces]
    videos = gather_videos(made_table([MadeVideo("same", 1, logits)], scaling))
    assert videos.probabilities[0] == pytest.approx(person.judgement.fake_probability)
    (frame, *_) = report.to_dict()["people"][0]["frames"]
    first = report.people[0].faces[0]
    assert frame["uncalibrated_probability"] == pytest.approx(
        first.uncalibrated_probability, abs=1e-6
    )


def test_progress_is_told_and_can_stop_the_work(detector, face_clip):
    told = []
    detector(face_clip, frames=10, progress=lambda *step: told.append(step))
    stages = [stage for stage, _, _ in told]
    assert list(dict.fromkeys(stages)) == [
        "Opening the file",
        "Looking for faces",
        "Scoring faces",
    ]
    assert ("Looking for faces", 10, 10) in told

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Looking for faces":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detector(face_clip, progress=stop)
    assert detector(face_clip, frames=5).frames_sampled == 5


def test_batches_do_not_change_scores(face_clip):
    def probabilities(batch_size: int) -> list[float]:
        config = DetectionConfig(batch_size=batch_size)
        report = VideoDetector.untrained(config=config)(face_clip, frames=9)
        return [face.fake_probability for face in report.people[0].faces]

    assert probabilities(2) == pytest.approx(probabilities(32), abs=1e-5)


def test_any_network_can_answer_for_the_model(detector, face_clip):
    """Whatever computes it: asked for batches, on the CPU, as the processor made them."""
    batches = []

    class Counting:
        calls_at_once = 1

        def __call__(self, pixel_values):
            assert pixel_values.shape[1:] == (3, 224, 224)
            assert pixel_values.dtype == torch.float32
            batches.append(len(pixel_values))
            output = detector.model(pixel_values)
            output.pooled_features = output.global_features = output.artifact_features = None
            return output

    config = DetectionConfig(batch_size=4, thresholds=DECIDED)
    other = VideoDetector.untrained(config=config)
    loaded = LoadedModel(other.model, other.image_processor, other.name)
    report = VideoDetector(loaded, config, network=Counting())(face_clip, frames=10)
    assert batches == [4, 4, 2]
    expected = detector(face_clip, frames=10)
    assert [face.fake_probability for face in report.people[0].faces] == pytest.approx(
        [face.fake_probability for face in expected.people[0].faces], abs=1e-5
    )


def test_many_videos_are_judged_as_each_by_itself(detector, face_clip, face_picture, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    videos = [face_clip, tmp_path / "text.mp4", face_picture, face_clip]
    outcomes = list(detector.judge_many(videos))
    assert [video for video, _ in outcomes] == videos
    first, error, picture, again = (outcome for _, outcome in outcomes)
    assert isinstance(error, MediaError)
    assert picture.people == detector(face_picture).people
    assert first.people == again.people == detector(face_clip).people


def test_leaving_many_videos_early_stops_the_work(detector, face_clip):
    outcomes = detector.judge_many([face_clip] * 50)
    next(outcomes)
    outcomes.close()
    assert threading.active_count() < 10


def test_report_is_plain_json(detector, face_clip):
    report = json.loads(json.dumps(detector(face_clip, frames=6).to_dict()))
    assert set(report) >= {
        "video",
        "verdict",
        "reason",
        "fake_probability",
        "duration_s",
        "frames_sampled",
        "calibration_temperature",
        "calibration_bias",
        "model",
        "people",
    }
    frame = report["people"][0]["frames"][0]
    assert set(frame) >= {
        "frame_index",
        "time_s",
        "box_xyxy",
        "face_confidence",
        "fake_probability",
        "uncalibrated_probability",
    }


def test_url_is_named_without_its_query(detector):
    with pytest.raises(MediaError) as caught:
        detector("http://127.0.0.1:9/clip.mp4?token=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"frames": 0}, {"batch_size": 0}, {"frames": 10**7}])
def test_absurd_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must lie between"):
        DetectionConfig(**settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    loaded = untrained_model(seed=1)
    loaded.model.save_pretrained(path)
    loaded.image_processor.save_pretrained(path)
    return path


def test_folder_detector_pipeline_and_auto_classes_agree(folder, face_clip):
    report = VideoDetector.from_pretrained(folder)(face_clip, frames=6)
    answer = pipeline("video-deepfake-detection", model=str(folder), frames=6)(str(face_clip))
    assert answer["people"] == report.to_dict()["people"]
    assert answer["model"] == str(folder)
    model = AutoModelForImageClassification.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    named = VideoDetector(LoadedModel(model, processor, "by hand"))(face_clip, frames=6)
    assert named.people[0].faces[2] == report.people[0].faces[2]


def test_pipeline_takes_lists_and_frames_when_called(folder, face_clip, face_picture):
    judge = pipeline("video-deepfake-detection", model=str(folder))
    clip, picture = judge([str(face_clip), str(face_picture)], frames=5)
    assert clip["frames_sampled"] == 5
    assert picture["frames_sampled"] == 1


def test_models_that_cannot_be_used(folder, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (broken / name).write_bytes((folder / name).read_bytes())
    weights = (folder / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert"}')
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save({}, pickled / "pytorch_model.bin")
    (tmp_path / "file.pkl").write_bytes(b"x")
    for name, message in [
        (tmp_path / "missing", "neither a folder nor a Hub id"),
        (broken, "cannot be loaded"),
        (other, "not a CADDM model"),
        (pickled, "cannot be loaded"),
        (tmp_path / "file.pkl", "a model is a folder"),
        (tmp_path, r"no readable config\.json"),
        ("../etc/passwd x", "neither a folder nor a Hub id"),
        ("nobody/nothing", "not in the cache"),
    ]:
        with pytest.raises(ModelError, match=message) as caught:
            load_model(name)
        assert "\n" not in str(caught.value)


def test_incomplete_weights_are_not_filled_with_random_ones(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete: 1 tensors .* classifier\.weight"):
        load_model(tmp_path)
