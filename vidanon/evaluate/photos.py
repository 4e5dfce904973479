"""Folders and tar files of photos of people, in the layout of LFW: ``Name/Name_0001.jpg``."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

import cv2
import numpy as np

from vidanon.errors import InputError, ResourceLimitError
from vidanon.types import ByteArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
MAX_BYTES = 64 << 20  #: of one photo's file
MAX_PIXELS = 64_000_000
File = TypeVar("File")
_NUMBER = re.compile(r"_\d+$")


class Photos(Protocol):
    """Photos by name; a name is the last folder and the file, or the file alone where there is no folder."""

    @property
    def names(self) -> list[str]:
        """Sorted."""
        ...

    def read(self, name: str) -> bytes:
        """The file of a photo. Raises InputError."""
        ...


def open_photos(path: Path) -> Photos:
    """A folder or a tar file (plain or compressed). Raises InputError where it is neither or holds no photo."""
    photos: Photos
    if path.is_dir():
        photos = FolderPhotos(path)
    elif path.is_file():
        photos = TarPhotos(path)
    else:
        raise InputError(f"{path}: no such folder or tar file; give the photos")
    if not photos.names:
        raise InputError(f"{path}: no photo in it ({', '.join(SUFFIXES)}); give a folder or tar file with photos")
    return photos


class FolderPhotos:
    def __init__(self, path: Path) -> None:
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        self._files = _by_name(path, {str(p.relative_to(path).as_posix()): p for p in files})
        self.names = sorted(self._files)

    def read(self, name: str) -> bytes:
        path = self._files[name]
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ResourceLimitError(f"{path}: larger than {MAX_BYTES >> 20} MB; leave it out")
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}; check path and permissions") from error


class TarPhotos:
    """Members are read in place, never unpacked. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._tar = tarfile.open(path)  # noqa: SIM115  open for as long as the photos are read
            members = {m.name: m for m in self._tar.getmembers() if m.isfile()}
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{path}: not a readable tar file ({error}); give a folder or a tar file") from error
        wanted = {name: m for name, m in members.items() if PurePosixPath(name).suffix.lower() in SUFFIXES}
        self._members = _by_name(path, wanted)
        self.names = sorted(self._members)

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.size > MAX_BYTES:
            raise ResourceLimitError(f"{self._path}: {member.name} is larger than {MAX_BYTES >> 20} MB; leave it out")
        try:
            stream = self._tar.extractfile(member)
            if stream is None:
                raise InputError(f"{self._path}: {member.name} is no file; leave it out")
            return stream.read()
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{self._path}: {member.name} cannot be read ({error}); get the original") from error


def decode(data: bytes, name: str) -> ByteArray:
    """A photo's file -> (h, w, 3) uint8 RGB, upright by its EXIF orientation. Raises InputError."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise InputError(f"{name}: cannot be decoded ({error.err}); leave it out") from error
    if picture is None:
        raise InputError(f"{name}: no picture that can be decoded; leave it out")
    if picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        raise ResourceLimitError(f"{name}: {picture.shape[1]}x{picture.shape[0]} px is too large; scale it down")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def person(name: str) -> str:
    """Who is on a photo: its folder, else its file name up to the number."""
    path = PurePosixPath(name)
    return path.parent.name or _NUMBER.sub("", path.stem)


def key(name: str) -> str:
    """A photo's name without its suffix: a protected copy may be of another format."""
    return str(PurePosixPath(name).with_suffix(""))


def _by_name(path: Path, files: dict[str, File]) -> dict[str, File]:
    """Full name -> last folder and file. Raises InputError where that is ambiguous."""
    found: dict[str, File] = {}
    for full, file in files.items():
        name = "/".join(PurePosixPath(full).parts[-2:])
        if name in found:
            raise InputError(f"{path}: two photos are called {name}; give the folder of one set")
        found[name] = file
    return found
