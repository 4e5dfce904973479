"""From a word to a recogniser: ``student``, ``facenet``, ``dlib``, a model file, or several joined by ``+``."""

from __future__ import annotations

from pathlib import Path

from vidanon.errors import ModelError, UsageError
from vidanon.recognise.base import Recogniser
from vidanon.recognise.described import is_torchscript, load_described
from vidanon.runtime.device import Runtime

NAMES = ("student", "facenet", "dlib")
HELP = "student, facenet[:WEIGHTS], dlib, a model file (.onnx, TorchScript, a student's .safetensors), or A+B"


def make_recogniser(name: str, runtime: Runtime, *, offline: bool = False) -> Recogniser:
    """The recogniser called ``name``: one of NAMES, ``facenet:WEIGHTS``, a path, or an ensemble ``A+B``.

    offline: never download. Raises UsageError for a word that is none of these, ModelUnavailable for one that
    cannot be had now, ModelError for a file that is not what it should be.
    """
    if "+" in name and not Path(name).is_file():
        return _ensemble([make_recogniser(part.strip(), runtime, offline=offline) for part in name.split("+")])
    if name == "student":
        from vidanon.recognise.student import load_student

        return load_student(runtime)
    if name == "dlib":
        from vidanon.recognise.dlib_resnet import DlibResnet

        return DlibResnet()
    if name == "facenet" or name.startswith("facenet:"):
        from vidanon.recognise.facenet import load_facenet

        _, _, weights = name.partition(":")
        return load_facenet(runtime, _file(weights) if weights else None, offline=offline)
    return _from_file(_file(name), runtime)


def _from_file(path: Path, runtime: Runtime) -> Recogniser:
    if path.suffix == ".safetensors":
        from vidanon.recognise.student import load_student

        return load_student(runtime, path)
    if path.suffix in (".pt", ".pth") and not is_torchscript(path):
        from vidanon.recognise.facenet import load_facenet

        return load_facenet(runtime, path)
    return load_described(path, runtime)


def _ensemble(members: list[Recogniser]) -> Recogniser:
    from vidanon.recognise.ensemble import Ensemble

    for member in members:
        if 0.01 not in member.description.thresholds:
            raise ModelError(
                f"{member.description.name} has no threshold at 1 % FAR, which an ensemble weighs it by; "
                "measure it with 'vidanon eval lfw' and write it into its description"
            )
    return Ensemble(members)


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"unknown recogniser '{name}': give {HELP}")
    return path
