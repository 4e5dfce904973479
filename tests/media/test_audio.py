"""Sound: every packet the player hears, byte for byte and at its time; transcoded only where it must be."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from writekit import cut, frames, make_source, sounds, times, write

from vidanon.config import EncodeSettings, Limits
from vidanon.media.audio import AudioTracks
from vidanon.media.audio_track import CopiedTrack
from vidanon.media.audio_transcode import TranscodedTrack
from vidanon.media.containers import container_for


def same(before: list[tuple[bytes, Fraction]], after: list[tuple[bytes, Fraction]], tick: Fraction) -> None:
    assert len(before) == len(after)
    assert [data for data, _ in before] == [data for data, _ in after]
    for (_, wanted), (_, got) in zip(before, after, strict=True):
        assert abs(wanted - got) <= tick


@pytest.mark.parametrize(("extension", "tick"), [(".mp4", Fraction(1, 48_000)), (".mkv", Fraction(1, 1000))])
def test_three_tracks_are_copied_packet_for_packet(tmp_path: Path, extension: str, tick: Fraction) -> None:
    source = make_source(tmp_path / "source.mp4", ("aac", "ac3", "alac"), 1.6)
    final = tmp_path / f"out{extension}"
    report, _, _ = write(final, cut(frames(40), 10, 30), source)
    assert len(report) == 3
    for track, codec in enumerate(("aac", "ac3", "alac")):
        before, after = sounds(source, track), sounds(final, track)
        assert len(before) > 10
        if extension == ".mkv":  # holds nothing below zero: encoder delay begins there
            before = [(data, max(Fraction(0), time)) for data, time in before]
        same(before, after, tick)
        assert f"audio {track + 1}: {codec}" in report[track]
        assert f"copied, {len(before)} packets" in report[track]
    for wanted, got in zip(frames(40), times(final), strict=True):
        assert abs(wanted.pts * wanted.time_base - got) <= (0 if extension == ".mp4" else tick)


def test_sound_and_pictures_are_interleaved(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", seconds=4.0)
    final = tmp_path / "out.mp4"
    write(final, cut(frames(100), 50, 50), source)
    with av.open(str(final)) as file:
        furthest = 0.0
        clocks = {0: 0.0, 1: 0.0}
        for packet in sorted((p for p in file.demux() if p.size), key=lambda p: p.pos):
            clocks[packet.stream_index] = float(packet.dts * packet.time_base)
            furthest = max(furthest, abs(clocks[0] - clocks[1]))
    assert furthest < 1.5  # a player never reads far ahead


def test_offset_between_sound_and_pictures_is_kept(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", seconds=1.0, start=0.5)
    clip = frames(20, start=2560)
    final = tmp_path / "out.mp4"
    write(final, [clip], source)
    same(sounds(source), sounds(final), Fraction(1, 48_000))
    assert times(final)[0] == clip[0].pts * clip[0].time_base


def test_what_is_below_zero_moves_with_the_pictures(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mkv", ("flac",), 1.0)
    clip = frames(20, start=-1280)
    final = tmp_path / "out.mkv"
    write(final, [clip], source)
    before, after = sounds(source), sounds(final)
    same([(data, time + Fraction(1, 10)) for data, time in before], after, Fraction(1, 1000))


def test_packets_hidden_by_an_edit_list_stay_out(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    whole = make_source(tmp_path / "whole.mp4", seconds=3.0)
    source = tmp_path / "source.mp4"
    ffmpeg("-ss", "1.5", "-i", whole, "-c", "copy", source)  # the packets before are kept, and hidden
    with av.open(str(source)) as file:
        packets = [p for p in file.demux(audio=0) if p.size]
        hidden = [bytes(p) for p in packets if p.is_discard]
        if not hidden:
            pytest.skip("this ffmpeg hides no audio packet")
    final = tmp_path / "out.mp4"
    write(final, [frames(30)], source)
    written = final.read_bytes()
    heard = {data for data, _ in sounds(source)}
    assert not any(data in written for data in hidden if data not in heard)
    same(sounds(source), sounds(final), Fraction(1, 48_000))


@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_a_cut_takes_only_the_sound_inside(tmp_path: Path, extension: str) -> None:
    source = make_source(tmp_path / "source.mp4", seconds=6.0)
    clip = frames(150)[50:100]  # 2 s to 4 s
    final = tmp_path / f"out{extension}"
    write(final, cut(clip, 20, 30), source, cut_start=True, cut_end=True)
    inside = [(data, time - 2) for data, time in sounds(source) if 2 <= time < 4]
    same(inside, sounds(final), Fraction(1, 1000))
    assert times(final)[0] == 0
    assert abs(times(final)[-1] - Fraction(49, 25)) <= Fraction(1, 1000)


def test_sound_longer_than_the_pictures_is_kept(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", seconds=2.0)
    final = tmp_path / "out.mp4"
    write(final, [frames(10)], source)
    same(sounds(source), sounds(final), Fraction(1, 48_000))


@pytest.mark.parametrize(
    ("codec", "source_name", "final_name", "wanted"),
    [
        ("aac", "source.mp4", "out.webm", "opus"),
        ("pcm_s16le", "source.mov", "out.mp4", "aac"),
        ("mp2", "source.mkv", "out.mp4", "aac"),
    ],
)
def test_transcoded_where_the_container_cannot_hold_it(
    tmp_path: Path, codec: str, source_name: str, final_name: str, wanted: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of libav has no {codec}")
    source = make_source(tmp_path / source_name, (codec,), 1.6)
    final = tmp_path / final_name
    report, _, _ = write(final, [frames(40)], source)
    assert "transcoded" in report[0]
    assert "cannot hold" in report[0]
    with av.open(str(final)) as file:
        assert file.streams.audio[0].codec_context.codec.canonical_name == wanted
        heard = list(file.decode(audio=0))
    first = heard[0].pts * heard[0].time_base
    last = heard[-1].pts * heard[-1].time_base + Fraction(heard[-1].samples, heard[-1].sample_rate)
    assert abs(first) < Fraction(1, 40)
    assert abs(last - Fraction(16, 10)) < Fraction(1, 20)
    assert max(float(abs(frame.to_ndarray()).max()) for frame in heard) > 0.1  # the tone is there


def test_a_hole_in_transcoded_sound_is_filled_with_silence(tmp_path: Path) -> None:
    """Packets missing from the source must not pull the rest of the track forward."""
    whole = make_source(tmp_path / "whole.mkv", ("flac",), 4.0)
    source = tmp_path / "source.mkv"
    with av.open(str(whole)) as before, av.open(str(source), "w") as after:
        video = after.add_stream_from_template(before.streams.video[0], opaque=True)
        sound = after.add_stream_from_template(before.streams.audio[0])
        for packet in before.demux():
            if packet.size and not (packet.stream.type == "audio" and 1 <= packet.pts * packet.time_base < 2):
                packet.stream = sound if packet.stream.type == "audio" else video
                after.mux(packet)
    final = tmp_path / "out.webm"
    write(final, [frames(100)], source)
    with av.open(str(final)) as file:
        heard = list(file.decode(audio=0))
    last = heard[-1].pts * heard[-1].time_base + Fraction(heard[-1].samples, heard[-1].sample_rate)
    assert abs(last - 4) < Fraction(1, 10)
    loud = [float(abs(f.to_ndarray()).max()) > 0.05 for f in heard if 1.2 < f.pts * f.time_base < 1.8]
    assert len(loud) > 10
    assert not any(loud)


def test_sound_that_changes_its_layout_is_transcoded_to_the_end(tmp_path: Path) -> None:
    stream = av.open(str(make_source(tmp_path / "source.mkv", ("mp2",)))).streams.audio[0]
    track = TranscodedTrack(1, stream, container_for(Path("out.mp4"), False))
    with av.open(str(tmp_path / "out.mp4"), "w") as output:
        track.add_to(output)
        packets = []
        for n, (rate, layout, channels) in enumerate([(48000, "stereo", 2)] * 20 + [(44100, "5.1", 6)] * 20):
            quiet = av.AudioFrame.from_ndarray(np.zeros((channels, 1024), np.float32), "fltp", layout)
            quiet.sample_rate, quiet.time_base, quiet.pts = rate, Fraction(1, 1000), round(n * 1024 / 46)
            packets += track._encode(quiet)
        packets += track._drain() + track._stream.encode(None)
    assert sum(packet.duration or 0 for packet in packets) > 38 * 1024


def test_pcm_stays_pcm_where_it_can(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mov", ("pcm_s16le",), 1.0)
    final = tmp_path / "out.mov"
    report, _, _ = write(final, [frames(25)], source)
    assert "copied" in report[0]
    joined = [b"".join(data for data, _ in sounds(path)) for path in (source, final)]
    assert joined[0] == joined[1]


def test_no_audio_leaves_it_out_and_says_so(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", ("aac", "ac3"))
    final = tmp_path / "out.mp4"
    report, _, _ = write(final, [frames(10)], source, EncodeSettings(audio=False))
    assert len(report) == 2
    assert all("left out" in line for line in report)
    with av.open(str(final)) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def test_other_streams_are_dropped_and_counted(tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    plain = make_source(tmp_path / "plain.mp4")
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nsecret words\n", encoding="utf-8")
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=secret title\n")
    source = tmp_path / "source.mkv"
    ffmpeg("-i", plain, "-i", words, "-i", chapters, "-map", 0, "-map", 1, "-map_metadata", 2, "-map_chapters", 2,
           "-c", "copy", "-c:s", "srt", "-attach", words, "-metadata:s:t", "mimetype=text/plain", source)  # fmt: skip
    final = tmp_path / "out.mkv"
    report, _, _ = write(final, [frames(10)], source)
    for what in ("1 subtitle stream left out", "1 attachment stream left out", "1 chapter left out"):
        assert what in report
    assert b"secret" in source.read_bytes()
    assert b"secret" not in final.read_bytes()
    with av.open(str(final)) as file:
        assert [stream.type for stream in file.streams] == ["video", "audio"]
        assert file.chapters() == []


def test_a_clock_that_jumps_back_goes_on(tmp_path: Path) -> None:
    """Joined recordings: what follows is put behind, as the reader does with pictures."""
    source = make_source(tmp_path / "source.mkv", ("flac",))
    with av.open(str(source)) as file:
        track = CopiedTrack(1, file.streams.audio[0], container_for(Path("out.mkv"), False))
        assert track.base == Fraction(1, 1000)
        got = []
        for dts in (0, 100, 200, 0, 100, 150, 149, None, 400):
            packet = av.Packet(b"x")
            packet.dts = packet.pts = dts
            packet.duration = 100
            track.mend(packet)
            got.append(packet.pts)
    assert got == [0, 100, 200, 300, 400, 450, 451, 551, 700]


def test_memory_holds_no_more_than_what_waits(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source.mp4", ("aac", "ac3"), 20.0)
    tracks = AudioTracks(source, container_for(Path("out.mp4"), False), True, Limits())
    assert tracks.peek() is not None
    assert len(tracks._waiting) < 100
    tracks.close()
