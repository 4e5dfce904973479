"""The words of ``vidanon run``: every argument and option, its names and its line of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_core import PydanticUndefined

from vidanon.cli import options

PROTECTION, FINDING, WHO, OUTPUT, RUNNING = "Protection", "Finding faces", "Who and when", "Output", "Running"

HELP = (
    "Anonymise the faces of a video: vidanon in.mp4 out.mp4 --mode mask|pixelate|blur\n\n"
    "Every face that is found is followed and covered from its first frame to its last, and each piece of the output "
    "is decoded again and checked before it is kept. Faces only: body, clothes, gait, voice and place identify too."
)
EPILOG = (
    "Other commands: vidanon audit (an output beside its original), vidanon eval, vidanon train, vidanon models, "
    "vidanon doctor (each has --help). For a file of that name write ./models"
)


def _setting(panel: str, help: str, flag: str, *names: str, words: bool = False) -> Any:
    """An option that stands for a setting; the default in its help is the config's own. ``words``: complete them."""
    default = options.field_of(options.SETTINGS[flag]).default
    if default not in (None, PydanticUndefined, frozenset(), True, False):
        help = f"{help} (default: {default})"
    complete = (lambda: list(options.choices(flag))) if words else None
    return typer.Option(flag, *names, help=help, show_default=False, rich_help_panel=panel, autocompletion=complete)


def _plain(panel: str, help: str, *names: str, hidden: bool = False) -> Any:
    """An option that is about this command alone."""
    return typer.Option(*names, help=help, show_default=False, rich_help_panel=panel, hidden=hidden)


Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT... [OUTPUT]",
        help="A video or picture and where its result goes; or folders, quoted globs and several files, and a folder. "
        "Without an output the result lies beside its source as NAME_anonymized.",
        show_default=False,
    ),
]

Mode = Annotated[
    str | None,
    _setting(
        PROTECTION, "swap (a synthetic person), mask (solid), pixelate (mosaic) or blur.", "--mode", "-m", words=True
    ),
]
Shape = Annotated[
    str | None,
    _setting(PROTECTION, "Region covered: solid (box), ellipse or hull (of the face).", "--shape", words=True),
]
Boxes = Annotated[bool, _plain(PROTECTION, "The same as --shape solid.", "--boxes", hidden=True)]
MaskScale = Annotated[float | None, _setting(PROTECTION, "Covered region over the face box.", "--mask-scale")]
Cells = Annotated[int | None, _setting(PROTECTION, "pixelate: cells across a face, whatever its size.", "--cells")]
Blur = Annotated[
    float | None,
    _setting(PROTECTION, "blur, and pixelate beneath its cells: Gaussian sigma as a share of the face.", "--blur"),
]
Texture = Annotated[
    float | None,
    _setting(PROTECTION, "blur and pixelate: strength of the luma noise tied to each track, 0 for none.", "--texture"),
]

Donors = Annotated[
    Path | None,
    _plain(PROTECTION, "swap: folder of your own synthetic portraits, instead of those shipped.", "--donors"),
]
ProjectKey = Annotated[
    str | None,
    _plain(
        PROTECTION,
        "swap: a secret, or @FILE that holds it: the same person gets the same new face in every clip made with it. "
        "Without one, faces are new in each run.",
        "--project-key",
    ),
]

Detector = Annotated[str | None, _setting(FINDING, "all (that are there), mtcnn or yunet.", "--detector", words=True)]
MinFace = Annotated[int | None, _setting(FINDING, "Smallest face looked for, pixels.", "--min-face")]
Thresh = Annotated[
    float | None,
    _setting(FINDING, "Score below which a detection is dropped (default: each detector's own)", "--thresh", "-t"),
]
MaxSide = Annotated[
    str | None,
    _setting(FINDING, "A larger picture is looked at in tiles: longer side, or WxH.", "--max-side", "-s", "--scale"),
]
Every = Annotated[
    int | None,
    _setting(
        FINDING,
        "Full detection every so many frames; live tracks are followed in between (default: from the frame rate)",
        "--every",
    ),
]

Keep = Annotated[
    str | None, _setting(WHO, "Track ids left clear: 2,5 (ids are in the plan of --tracks and in --preview).", "--keep")
]
Redact = Annotated[str | None, _setting(WHO, "Only these track ids are protected.", "--redact")]
StartTime = Annotated[str | None, _setting(WHO, "Leave out what lies before: seconds or HH:MM:SS.mmm.", "--start-time")]
EndTime = Annotated[str | None, _setting(WHO, "Leave out what lies after.", "--end-time")]
Tracks = Annotated[Path | None, _plain(WHO, "Write the track plan here, to look at or edit.", "--tracks")]
TracksIn = Annotated[Path | None, _plain(WHO, "Use this track plan instead of looking for faces.", "--tracks-in")]

Output = Annotated[
    str | None,
    _plain(
        OUTPUT, "Output file, or folder where there are several inputs; all words are inputs then.", "--output", "-o"
    ),
]
Encoder = Annotated[
    str | None,
    _setting(
        OUTPUT,
        "Video encoder by name: libx264, libx265, libsvtav1, libvpx-vp9, h264_nvenc ...",
        "--encoder",
        "--output-video-encoder",
    ),
]
Quality = Annotated[
    float | None,
    _setting(OUTPUT, "Constant quality on the encoder's own scale (CRF, CQ): lower is better.", "--quality"),
]
Preset = Annotated[str | None, _setting(OUTPUT, "The encoder's preset.", "--preset")]
NoAudio = Annotated[bool, _plain(OUTPUT, "Leave the audio out (voices identify people).", "--no-audio")]
NeutralNames = Annotated[bool, _plain(OUTPUT, "Outputs are called vidanon_0001 and so on.", "--neutral-names")]
Force = Annotated[bool, _plain(OUTPUT, "Overwrite outputs that exist.", "--force", "-f")]
Report = Annotated[Path | None, _plain(OUTPUT, "Write a JSON report here.", "--report")]
Preview = Annotated[Path | None, _plain(OUTPUT, "Write a picture of some protected frames here.", "--preview", "-p")]

Verify = Annotated[
    str | None,
    _setting(RUNNING, "How the encoded output is looked at again: full, fast or off.", "--verify", words=True),
]
Salvage = Annotated[bool, _plain(RUNNING, "Go on past damaged input, with a warning.", "--salvage")]
Seed = Annotated[int | None, _setting(RUNNING, "The same input, settings and seed give the same output.", "--seed")]
Device = Annotated[str | None, _setting(RUNNING, "auto, cpu, cuda or cuda:N.", "--device")]
ExecutionProvider = Annotated[
    str | None, _plain(RUNNING, "cpu or cuda: see --device.", "--execution-provider", hidden=True)
]
Threads = Annotated[int | None, _setting(RUNNING, "Worker threads (default: one per core)", "--threads")]
Config = Annotated[Path | None, _plain(RUNNING, "YAML file of settings; options win over it.", "--config", "-c")]
LogLevel = Annotated[str, _plain(RUNNING, "debug, info, warning (default) or error.", "--log-level")]
Quiet = Annotated[bool, _plain(RUNNING, "No progress and no summary.", "--quiet", "-q")]
Debug = Annotated[bool, _plain(RUNNING, "Show the traceback of an error.", "--debug")]
