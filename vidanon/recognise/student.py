"""The project's own recogniser: a :class:`StudentNet` in one ``.safetensors`` file that also holds its description.

The file's head carries the description as JSON under ``vidanon.recogniser``, so that one hash covers the weights and
the thresholds that go with them. ``vidanon.train.recogniser`` makes such files; the shipped one is ``student`` in the
registry, its card ``models/student.md``; a second, weaker one is ``surrogate``, for attacks to be hidden from as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.recognise.nets import fused, student_net
from vidanon.runtime.device import Runtime
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo.fetch import file_hash, resolve
from vidanon.zoo.load import load_metadata, load_state
from vidanon.zoo.save import save_tensors

NAME = "student"
SURROGATE = "surrogate"  #: a smaller one that has seen little: it errs as weak recognisers do
SIZE = 112  #: px, the side of its crop
OFFSET, SCALE = 127.5, 128.0  #: of its input: (pixel - OFFSET) / SCALE
_KEY = "vidanon.recogniser"
_CHUNK = 32  # faces per call of the network: 32 is as fast as more, and bounds memory


class Student:
    """A :class:`vidanon.recognise.base.Recogniser`. Thread-safe."""

    def __init__(self, path: Path, runtime: Runtime) -> None:
        """The student in ``path``, on the runtime's device, in its fast number type.

        Raises ModelError where the file holds something else.
        """
        self._description = read_description(path)
        try:
            net = fused(student_net(load_state(path)))
        except (KeyError, ValueError, RuntimeError, IndexError) as error:
            raise ModelError(f"{path}: not a student recogniser (its tensors differ); get the original") from error
        self._device, self._dtype = runtime.device, runtime.fast_dtype
        self._net = net.to(self._device, self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dimensions = net.dimensions
        self._channels = net.channels

    @property
    def description(self) -> Description:
        return self._description

    def embed(self, patches: ByteArray) -> FloatArray:
        """(N, 112, 112, 3) uint8 RGB, aligned -> (N, dimensions) float32 of unit norm; ValueError for another shape."""
        return self._each(patches, self.embed_tensor, self.dimensions)

    def pooled(self, patches: ByteArray, side: int) -> FloatArray:
        """(N, 112, 112, 3) uint8 RGB, aligned -> (N, channels * side * side) float32: the map before the head, averaged
        over ``side`` x ``side`` parts of the crop.

        It still tells of a face's look what the head leaves out because it does not tell people apart. ValueError for
        another shape.
        """

        def look(pixels: torch.Tensor) -> torch.Tensor:
            seen = self._net.blocks(self._net.stem(self._input(pixels))).float()
            return torch.nn.functional.adaptive_avg_pool2d(seen, side).flatten(1)

        return self._each(patches, look, self._channels * side * side)

    def _each(self, patches: ByteArray, look: Callable[[torch.Tensor], torch.Tensor], dimensions: int) -> FloatArray:
        """(N, dimensions): what ``look`` says of (n, 3, 112, 112) in 0..255, a few at a time."""
        size = self._description.size
        if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[1:] != (size, size, 3):
            raise ValueError(f"patches {patches.dtype} {patches.shape}: (N, {size}, {size}, 3) uint8 wanted")
        out = np.zeros((len(patches), dimensions), np.float32)
        with torch.inference_mode():
            for start in range(0, len(patches), _CHUNK):
                pixels = torch.from_numpy(np.ascontiguousarray(patches[start : start + _CHUNK])).to(self._device)
                # a view of (N, H, W, 3) is channels-last already
                out[start : start + _CHUNK] = look(pixels.permute(0, 3, 1, 2)).cpu().numpy()
        return out

    def embed_tensor(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 3, 112, 112) RGB in 0..255 -> (N, dimensions) float32 of unit norm, on the device of the network.

        A gradient can be taken through it.
        """
        return torch.nn.functional.normalize(self._net(self._input(pixels)).float(), dim=1)

    def _input(self, pixels: torch.Tensor) -> torch.Tensor:
        # less 127.5, whole pixels are exact in bfloat16
        x = pixels.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)
        return (x - self._description.offset) / self._description.scale


def load_student(runtime: Runtime, path: Path | None = None) -> Student:
    """The student in ``path``, or the shipped one (its hash is checked). Raises ModelError, ModelUnavailable."""
    return Student(path or resolve(NAME, offline=True), runtime)


def load_surrogate(runtime: Runtime) -> Student:
    """The shipped surrogate (its hash is checked). Raises ModelError, ModelUnavailable."""
    return Student(resolve(SURROGATE, offline=True), runtime)


def describe_student(
    *,
    teachers: tuple[str, ...],
    name: str = NAME,
    thresholds: Mapping[float, float] | None = None,
    measured_on: str = "",
    licence: str = "MIT",
) -> Description:
    """The description of a student; thresholds are for who has measured them."""
    return Description(
        name=name,
        size=SIZE,
        template=ARCFACE_112,
        offset=OFFSET,
        scale=SCALE,
        thresholds=dict(thresholds or {}),
        measured_on=measured_on,
        licence=licence,
        teachers=teachers,
    )


def write_student(path: Path, state: Mapping[str, torch.Tensor], description: Description) -> None:
    """Write the file: weights of two dimensions and more as float16, the rest as it is. Raises OSError.

    The file takes its name only once it is whole.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).detach().cpu().contiguous()
        for name, tensor in state.items()
    }
    fields = asdict(description)
    del fields["sha256"]  # of this very file
    fields["thresholds"] = {str(far): value for far, value in description.thresholds.items()}
    save_tensors(path, tensors, {_KEY: json.dumps(fields)})


def read_description(path: Path) -> Description:
    """The description in the head of a student's file, with the file's hash. Raises ModelError."""
    try:
        fields = json.loads(load_metadata(path)[_KEY])
        fields["template"] = tuple((float(x), float(y)) for x, y in fields["template"])
        fields["thresholds"] = {float(far): float(value) for far, value in fields["thresholds"].items()}
        fields["teachers"] = tuple(fields["teachers"])
        return Description(**fields, sha256=file_hash(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: no description of a recogniser in it ({error}); get the original") from error
