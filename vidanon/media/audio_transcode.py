"""A track whose codec the output's container cannot hold: decoded, and encoded as AAC or Opus."""

from __future__ import annotations

from fractions import Fraction

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph

from vidanon.media.audio_track import Packet, Track
from vidanon.media.containers import Container

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_OPUS_RATE = 48_000


class TranscodedTrack(Track):
    """Rate and layout may change on the way; holes are filled with silence, so that sound stays with the pictures."""

    def __init__(self, number: int, source: AudioStream, container: Container) -> None:
        super().__init__(number, source)
        self._target = "libopus" if container.name == "webm" else "aac"
        self._why = f".{container.name} files" if container.name != "matroska" else "Matroska files"
        self._damaged = 0
        self._graph: Graph | None = None
        self._input: tuple[object, ...] = ()

    def add_to(self, output: OutputContainer) -> None:
        context = self.source.codec_context
        channels = min(max(context.channels, 1), 8)
        per_channel = 64_000 if self._target == "libopus" else 96_000
        self._rate = _OPUS_RATE
        if self._target == "aac":
            self._rate = next((r for r in _AAC_RATES if r <= context.sample_rate), _AAC_RATES[-1])
        stream = output.add_stream(self._target, rate=self._rate)
        assert isinstance(stream, AudioStream)
        encoder: AudioCodecContext = stream.codec_context
        encoder.layout = _LAYOUTS[channels]
        encoder.bit_rate = per_channel * channels
        self._stream = stream

    def feed(self, packet: Packet | None, shift: Fraction) -> list[Packet]:
        out: list[Packet] = []
        try:
            frames = self.source.codec_context.decode(packet)
        except av.InvalidDataError:
            self._damaged += 1
            frames = []
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts += round(shift / frame.time_base)
            out += self._encode(frame)
        if packet is None:
            out += self._drain()
            out += self._stream.encode(None)
        self.packets += len(out)
        return out

    def describe(self) -> str:
        name = "Opus" if self._target == "libopus" else "AAC"
        damaged = f", {self._damaged} damaged packets left out" if self._damaged else ""
        return f"{self._sound()}: transcoded to {name}, because {self._why} cannot hold {self.codec}{damaged}"

    def _encode(self, frame: av.AudioFrame) -> list[Packet]:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate, frame.time_base)
        out: list[Packet] = []
        if self._graph is None or shape != self._input:
            out += self._drain()
            self._graph, self._input = self._resampler(frame), shape
        self._graph.push(frame)
        return out + self._pull()

    def _drain(self) -> list[Packet]:
        if self._graph is None:
            return []
        self._graph.push(None)
        out = self._pull()
        self._graph = None
        return out

    def _pull(self) -> list[Packet]:
        out: list[Packet] = []
        assert self._graph is not None
        while True:
            try:
                sound = self._graph.pull()
            except (av.BlockingIOError, av.EOFError):
                return out
            assert isinstance(sound, av.AudioFrame)
            out += self._stream.encode(sound)

    def _resampler(self, frame: av.AudioFrame) -> Graph:
        encoder = self._stream.codec_context
        wanted = f"sample_fmts={encoder.format.name}:sample_rates={self._rate}:channel_layouts={encoder.layout.name}"
        graph = Graph()
        graph.link_nodes(
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=frame.time_base,
            ),
            graph.add("aresample", "async=1"),
            graph.add("aformat", wanted),
            graph.add("abuffersink"),
        ).configure()
        return graph
