"""Lost reference pictures: found where they are lost, never where an encoder only uses its freedom."""

from __future__ import annotations

import av
import pytest

from vidanon.config import Limits
from vidanon.errors import DamagedInputError
from vidanon.media.h264 import ReferenceCheck
from vidanon.media.orientation import from_matrix
from vidanon.media.sidedata import display_matrix
from vidanon.media.source import open_source
from vidanon.types import Orientation

X264 = [
    "bframes=0:ref=1",
    "bframes=3:b-pyramid=normal:ref=6:weightp=2",
    "bframes=5:b-pyramid=strict:open-gop=1:keyint=12",
    "keyint=infinite:scenecut=0",
    "keyint=infinite:intra-refresh=1",
    "tff=1:bframes=2",
    "fake-interlaced=1",
    "cqm=jvt",
    "slices=4:bframes=1",
    "sliced-threads=1:threads=2",
    "repeat-headers=1:aud=1:bluray-compat=1:keyint=25",
    "bframes=2:force-cfr=1:rc-lookahead=5:keyint=7:min-keyint=2",
]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv", "a.avi"])
@pytest.mark.parametrize("parameters", X264)
def test_sound_streams_raise_no_alarm(make_clip, name, parameters):
    if name == "a.avi" and "bframes" in parameters and "bframes=0" not in parameters:
        pytest.skip("AVI cannot hold B-frames")
    path = make_clip(name, frames=70, size=(48, 48), gop=30, options={"x264-params": parameters, "preset": "veryfast"})
    with open_source(path, Limits(), threads=2) as source:
        frames = list(source.frames())
    assert len(frames) == 70 and not any(f.damaged for f in frames)


def packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return stream.codec_context.extradata, [bytes(p) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
@pytest.mark.parametrize("parameters", ["bframes=0", "cqm=jvt:bframes=0", "slices=3:bframes=0", "tff=1:bframes=0"])
def test_every_lost_reference_is_found(make_clip, name, parameters):
    """But for the one number in a cycle that a reset of the reference memory gives as well."""
    path = make_clip(name, frames=40, gop=40, options={"x264-params": parameters})
    extradata, all_packets = packets(path)
    found = []
    for lost in range(1, 39):
        check = ReferenceCheck(extradata)
        answers = [check.lost_before(p) for number, p in enumerate(all_packets) if number != lost]
        assert answers.count(True) <= 1
        found.append(answers[lost])
    assert found.count(False) <= 3


def test_a_lost_key_frame_is_found_too(make_clip, tmp_path):
    path = make_clip("a.mkv", frames=30, gop=10, options={"bf": "0"})
    out = tmp_path / "lost.mkv"
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.dts is not None and number != 10:
                packet.stream = stream
                target.mux(packet)
    with pytest.raises(DamagedInputError, match="could not be decoded"), open_source(out, Limits()) as source:
        frames = list(source.frames())
        assert len(frames) == 29


@pytest.mark.parametrize(
    "extradata", [None, b"", b"\1", b"\1" * 7, b"\0\0\1", b"\0\0\1\x67", b"\1\x64\0\x1f\xff\xe1\xff\xff"]
)
def test_broken_headers_are_no_crash_and_no_alarm(extradata):
    check = ReferenceCheck(extradata)
    for data in (b"", b"\0\0\1", b"\0\0\1\x65", b"\0\0\0\1\x61\x88", b"\0\0\0\4abcd", bytes(range(256))):
        assert check.lost_before(data) is False


@pytest.mark.parametrize(
    ("angle", "orientation"), [(90, Orientation(270)), (-90, Orientation(90)), (180, Orientation(180))]
)
def test_rotation_survives_side_data_that_pyav_does_not_know(angle, orientation, monkeypatch):
    class Picture:
        rotation = angle

    def unknown(frame):
        raise ValueError("31 is not a valid Type")

    monkeypatch.setattr("vidanon.media.sidedata.SideDataContainer", unknown)
    assert from_matrix(display_matrix(Picture())) == orientation  # type: ignore[arg-type]
