"""caddm_hf.report.annotated_video and drawing: the right things on the right frames, or none."""

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from caddm_hf.media.frames import iterate_frames, probe_media
from caddm_hf.media.limits import MediaError, MediaLimits
from caddm_hf.report import annotated_video
from caddm_hf.report.annotated_video import (
    AnnotationError,
    annotated_video_suffix,
    suspicious_windows,
    write_annotated_video,
)
from caddm_hf.report.drawing import COLOURS_RGB
from caddm_hf.report.verdicts import Judgement, Verdict
from caddm_hf.report.video_report import JudgedFile, VideoReport
from support.browser import chromium
from support.made_evidence import PROVENANCE, face_at
from support.made_media import numbered_frames, read_number, write_video
from support.made_reports import judged_person, made_person, made_report

SIZE_HW = (240, 320)
GREY = 120
SUFFIX = annotated_video_suffix()


def moving_report(
    verdict: Verdict = Verdict.FAKE, duration_s: float = 2.0, number: int = 1
) -> VideoReport:
    """One person who moves 40 pixels a second to the right, seen every half second."""
    faces = [face_at(t / 2, 40 + 20 * t) for t in range(int(2 * duration_s))]
    person = judged_person(number, Judgement(verdict, None, None, 0.9), faces)
    return made_report([person], duration_s)


@pytest.fixture(scope="module")
def grey_clip(tmp_path_factory) -> Path:
    """Two seconds of grey at 25 frames a second, with sound."""
    frames = [np.full((*SIZE_HW, 3), GREY, np.uint8)] * 50
    return write_video(tmp_path_factory.mktemp("clips") / "grey.mp4", frames, audio="aac")


@pytest.fixture(scope="module")
def numbered_clip(tmp_path_factory) -> Path:
    """Eight seconds at 25 frames a second that carry their numbers."""
    path = tmp_path_factory.mktemp("clips") / "numbered.mp4"
    return write_video(path, numbered_frames(200, SIZE_HW))


def frames_of(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (float(frame.pts * stream.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(stream)
        ]


def is_near(pixel: np.ndarray, colour: tuple[int, int, int], by: int = 45) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= by)


# --- the file -----------------------------------------------------------------------------------


def test_a_short_clip_is_whole_silent_and_keeps_its_times(grey_clip, tmp_path):
    out = tmp_path / f"out{SUFFIX}"
    made = write_annotated_video(grey_clip, moving_report(), out)
    assert made.path == out
    assert made.whole_clip
    assert made.windows_s == ((0.0, 2.0),)
    with av.open(str(out)) as container:
        assert not container.streams.audio
        codec = container.streams.video[0].codec_context
        assert codec.name == "h264"
        assert codec.pix_fmt == "yuv420p"
        assert (codec.height, codec.width) == SIZE_HW
    frames = frames_of(out)
    assert len(frames) == made.frame_count
    assert [time_s for time_s, _ in frames] == pytest.approx([n * 0.08 for n in range(25)])
    assert made.duration_s == pytest.approx(2.0, abs=0.1)
    # An index in front: a player can begin before it has the whole file.
    data = out.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]


def test_box_and_heat_are_where_the_face_is_at_each_time(grey_clip, tmp_path):
    out = tmp_path / f"out{SUFFIX}"
    write_annotated_video(grey_clip, moving_report(), out)
    for time_s, image_rgb in frames_of(out):
        if time_s > 1.5:  # the last face is held, not moved on
            continue
        x = round(40 + 40 * time_s)
        row = image_rgb[140:180].astype(int).mean(axis=(0, 2))
        dark = np.flatnonzero(row[: x + 20] < GREY - 40)  # the line's black rim
        assert dark.min() == pytest.approx(x - 1, abs=1), time_s
        inside, outside = image_rgb[160, x + 30], image_rgb[160, x + 90]
        assert is_near(outside, (GREY,) * 3, 12), time_s
        assert not is_near(inside, (GREY,) * 3, 60), time_s


def drawn_frame(clip: Path, report: VideoReport, strength: float = 0.0) -> np.ndarray:
    """The first frame with everybody drawn on it, before it is encoded."""
    info = probe_media(clip)
    (frame,) = iterate_frames(clip, info, [0], MediaLimits())
    return annotated_video._Drawing(report, info, strength).draw(frame)


@pytest.mark.parametrize("verdict", Verdict)
def test_the_box_has_the_verdicts_colour(verdict, grey_clip):
    drawn = drawn_frame(grey_clip, moving_report(verdict))
    assert tuple(drawn[160, 40]) == COLOURS_RGB[verdict]
    others = set(COLOURS_RGB.values()) - {COLOURS_RGB[verdict]}
    seen = {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()}
    assert not seen & others


def test_strength_fades_the_heat_and_nothing_else(grey_clip):
    none, half, full = (
        drawn_frame(grey_clip, moving_report(), strength).astype(int)
        for strength in (0.0, 0.5, 1.0)
    )
    place = (160, 70)
    assert is_near(none[place], (GREY,) * 3, 3)
    change = full[place] - none[place]
    assert np.abs(change).max() > 60
    assert np.abs(2 * (half[place] - none[place]) - change).max() <= 3
    differs = np.argwhere((none != full).any(axis=2))
    assert differs.min(axis=0).tolist() >= [125, 35]
    assert differs.max(axis=0).tolist() <= [195, 105]


def test_of_a_long_video_the_suspicious_parts_are_shown(numbered_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(annotated_video, "LONGEST_S", 4.0)
    monkeypatch.setattr(annotated_video, "MOMENTS", 2)
    monkeypatch.setattr(annotated_video, "AROUND_S", 0.5)
    faces = [
        replace(face_at(float(t), 40, y=170.0), fake_probability=score, frame_index=25 * t)
        for t, score in enumerate((0.1, 0.1, 0.99, 0.1, 0.1, 0.1, 0.98, 0.1))
    ]
    person = judged_person(1, Judgement(Verdict.FAKE, None, None, 0.9), faces)
    out = tmp_path / f"out{SUFFIX}"
    made = write_annotated_video(numbered_clip, made_report([person], 8.0), out)
    assert not made.whole_clip
    assert made.windows_s == ((1.5, 2.5), (5.5, 6.5))
    numbers = []
    for time_s, image_rgb in frames_of(out):
        number = read_number(image_rgb)
        source_s = number / 25
        start = 1.5 if time_s <= 1.0 + 1e-6 and source_s < 4 else 4.5
        assert source_s - start == pytest.approx(time_s, abs=0.002)
        numbers.append(number)
    assert numbers == sorted(numbers)
    assert len(numbers) == made.frame_count
    assert 50 in numbers
    assert 150 in numbers
    assert made.duration_s == pytest.approx(2.0, abs=0.15)


def test_windows_are_merged_clamped_and_bounded():
    near = made_person(1, [(float(t), 0.9) for t in range(0, 600, 2)])
    windows = suspicious_windows(made_report([near], 600.0), 600.0)
    assert all(0 <= start < end <= 600 for start, end in windows)
    assert all(one[1] < other[0] for one, other in pairwise(windows))
    assert sum(end - start for start, end in windows) <= 45
    times = (0.0, 0.1, 0.2, 599.8, 599.9)
    ends = made_person(1, [(t, 0.95 if t in (0.0, 599.9) else 0.8) for t in times])
    assert suspicious_windows(made_report([ends], 600.0), 600.0) == (
        (0.0, 1.5),
        (pytest.approx(598.4), 600.0),
    )


@pytest.mark.parametrize(
    ("size_hw", "shown_hw"),
    [((1080, 1920), (720, 1280)), ((1920, 1080), (1280, 720)), ((66, 98), (66, 98))],
)
def test_large_frames_are_made_small(size_hw, shown_hw, tmp_path):
    frames = [np.full((*size_hw, 3), GREY, np.uint8)] * 3
    clip = write_video(tmp_path / "clip.mp4", frames)
    scale = shown_hw[0] / size_hw[0]
    face = face_at(0.0, size_hw[1] / 3, y=size_hw[0] / 2, side=size_hw[0] / 6)
    person = judged_person(1, Judgement(Verdict.FAKE, None, None, 0.9), [face])
    report = made_report([person], 0.12)
    write_annotated_video(clip, report, tmp_path / f"out{SUFFIX}")
    assert frames_of(tmp_path / f"out{SUFFIX}")[0][1].shape[:2] == shown_hw
    drawn = drawn_frame(clip, report)
    row = round((size_hw[0] / 2 + size_hw[0] / 12) * scale)
    columns = np.flatnonzero((drawn[row] == COLOURS_RGB[Verdict.FAKE]).all(axis=1))
    assert columns.min() == pytest.approx(size_hw[1] / 3 * scale, abs=3)


def test_odd_sizes_and_turned_videos_are_drawn_upright(tmp_path):
    frames = [np.full((240, 136, 3), GREY, np.uint8)] * 3
    clip = write_video(tmp_path / "clip.mp4", frames, rotation_degrees=90)
    report = made_report(
        [judged_person(1, Judgement(Verdict.FAKE, None, None, 0.9), [face_at(0.0, 40)])], 0.12
    )
    write_annotated_video(clip, report, tmp_path / f"out{SUFFIX}")
    (_, shown), *_ = frames_of(tmp_path / f"out{SUFFIX}")
    assert shown.shape[:2] == (240, 136)
    assert not is_near(shown[160, 70], (GREY,) * 3, 60)
    odd = write_video(
        tmp_path / "odd.mkv",
        [np.full((75, 101, 3), GREY, np.uint8)] * 3,
        codec="ffv1",
        pixel_format="bgr0",
    )
    write_annotated_video(odd, report, tmp_path / f"odd{SUFFIX}")
    assert frames_of(tmp_path / f"odd{SUFFIX}")[0][1].shape[:2] in ((74, 100), (76, 100))


def test_without_an_h264_encoder_it_is_vp9(grey_clip, tmp_path, monkeypatch):
    unknown = [("h264_of_no_wheel", *rest) for _, *rest in annotated_video.ENCODERS[:2]]
    monkeypatch.setattr(annotated_video, "ENCODERS", (*unknown, annotated_video.ENCODERS[2]))
    assert annotated_video_suffix() == ".webm"
    out = tmp_path / "out.webm"
    made = write_annotated_video(grey_clip, moving_report(), out)
    with av.open(str(out)) as container:
        assert container.format.name == "matroska,webm"
        assert container.streams.video[0].codec_context.name == "vp9"
    frames = frames_of(out)
    assert len(frames) == made.frame_count == 25
    assert not is_near(frames[0][1][160, 70], (GREY,) * 3, 60)
    monkeypatch.setattr(annotated_video, "ENCODERS", tuple(unknown))
    with pytest.raises(AnnotationError, match="no encoder"):
        write_annotated_video(grey_clip, moving_report(), out)


@pytest.mark.browser
def test_a_browser_plays_it_and_jumps_in_it(grey_clip, tmp_path, monkeypatch):
    names = [f"out{SUFFIX}"]
    write_annotated_video(grey_clip, moving_report(), tmp_path / names[0])
    monkeypatch.setattr(annotated_video, "ENCODERS", annotated_video.ENCODERS[2:])
    write_annotated_video(grey_clip, moving_report(), tmp_path / "vp9.webm")
    with chromium() as driver:
        driver.set_script_timeout(30)
        for name in (*names, "vp9.webm"):
            page = tmp_path / "page.html"
            page.write_text(f'<video src="{name}" muted preload="auto"></video>')
            driver.get(page.as_uri())
            played = driver.execute_async_script(
                """
                const [done] = arguments, video = document.querySelector("video");
                video.onerror = () => done(video.error.message);
                const jump = () => {
                    video.onseeked = () => done([
                        video.videoWidth, video.videoHeight, video.duration, video.currentTime,
                    ]);
                    video.currentTime = 1.2;
                };
                if (video.readyState >= 2) jump(); else video.onloadeddata = jump;
                """
            )
            assert played == [320, 240, pytest.approx(2.0, abs=0.1), pytest.approx(1.2)], name


# --- stopping and failing -----------------------------------------------------------------------


def test_progress_is_told_and_never_goes_back(grey_clip, tmp_path):
    told = []
    write_annotated_video(
        grey_clip, moving_report(), tmp_path / f"out{SUFFIX}", on_progress=lambda *s: told.append(s)
    )
    assert {stage for stage, _, _ in told} == {"Drawing the video"}
    shares = [done / total for _, done, total in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(shares) > 10


def test_what_stops_midway_leaves_the_old_file(grey_clip, tmp_path):
    out = tmp_path / f"out{SUFFIX}"
    out.write_bytes(b"old")

    def stop(stage: str, done: int, total: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_annotated_video(grey_clip, moving_report(), out, on_progress=stop)
    assert out.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]


def test_skipped_parts_can_be_stopped_too(numbered_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(annotated_video, "LONGEST_S", 1.0)
    monkeypatch.setattr(annotated_video, "LOOK_EVERY_FRAMES", 30)
    face = replace(face_at(7.9, 40), frame_index=197)
    person = judged_person(1, Judgement(Verdict.FAKE, None, None, 0.9), [face])
    read = []

    def recorded(path, info, indices, limits):
        for frame in (frames := iterate_frames(path, info, indices, limits)):
            read.append(frame.index)
            yield frame
        frames.close()

    def stop(stage: str, done: int, total: int) -> None:
        if len(read) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(annotated_video, "iterate_frames", recorded)
    with pytest.raises(KeyboardInterrupt):
        write_annotated_video(
            numbered_clip,
            made_report([person], 8.0),
            tmp_path / f"out{SUFFIX}",
            on_progress=stop,
        )
    assert read == [0, 30, 60]  # the part to show begins at frame 160


def test_another_file_is_not_drawn_on(grey_clip, numbered_clip, tmp_path):
    out = tmp_path / f"out{SUFFIX}"
    with pytest.raises(AnnotationError, match="not the file"):
        write_annotated_video(numbered_clip, moving_report(), out)
    digest = hashlib.sha256(grey_clip.read_bytes()).hexdigest()
    size = grey_clip.stat().st_size
    right = replace(PROVENANCE, file=JudgedFile(digest, size))
    for wrong in (
        replace(right, file=JudgedFile(digest, size + 1)),
        replace(right, file=JudgedFile("0" * 64, size)),
    ):
        with pytest.raises(AnnotationError, match="not the file"):
            write_annotated_video(grey_clip, replace(moving_report(), provenance=wrong), out)
    assert not out.exists()
    write_annotated_video(grey_clip, replace(moving_report(), provenance=right), out)
    assert out.exists()


def test_pictures_empty_reports_and_damaged_videos_are_refused(grey_clip, tmp_path):
    out = tmp_path / f"out{SUFFIX}"
    picture = tmp_path / "picture.png"
    Image.new("RGB", (320, 240)).save(picture)
    with pytest.raises(AnnotationError, match="picture"):
        write_annotated_video(picture, replace(moving_report(), duration_s=0, kind="picture"), out)
    with pytest.raises(AnnotationError, match="No face"):
        write_annotated_video(grey_clip, made_report([]), out)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(grey_clip.read_bytes()[:500])
    with pytest.raises(MediaError):
        write_annotated_video(damaged, moving_report(), out)
    with pytest.raises(ValueError, match=SUFFIX):
        write_annotated_video(grey_clip, moving_report(), tmp_path / "out.avi")
    assert not out.exists()


def test_a_folder_that_is_not_there_is_told_in_a_sentence(grey_clip, tmp_path):
    with pytest.raises(AnnotationError, match=r"cannot be written: .*\.$"):
        write_annotated_video(grey_clip, moving_report(), tmp_path / "gone" / f"out{SUFFIX}")
