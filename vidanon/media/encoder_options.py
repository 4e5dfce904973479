"""Private options of each encoder: closed GOPs, no words about itself, HDR side data, fields, threads."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from vidanon.media.base import HdrInfo, Mastering, SourceInfo
from vidanon.media.encoder_table import EncoderSpec

GOP_SECONDS = 10  #: a key picture at least this often, for seeking
_FALLBACK_RATE = Fraction(25)


def frame_rate(info: SourceInfo) -> Fraction:
    """The nominal rate encoders plan with; no frame's time depends on it."""
    rate = info.average_rate
    if rate is None or not Fraction(1, 10) <= rate <= 1000:
        return _FALLBACK_RATE
    return rate.limit_denominator(1001)


def rate_options(spec: EncoderSpec, quality: float, preset: str | None) -> dict[str, str]:
    """Constant quality on the encoder's own scale."""
    text = f"{quality:g}"
    if spec.name.endswith("_nvenc"):
        options = {"rc": "vbr", "cq": text, "b": "0", "preset": preset}
    elif spec.name.endswith("_qsv"):
        options = {"global_quality": f"{round(quality)}", "preset": preset}
    elif spec.name.endswith("_amf"):
        step = f"{round(quality)}"
        options = {"rc": "cqp", "qp_i": step, "qp_p": step, "quality": preset}
    elif spec.name == "mjpeg":
        step = f"{1 + round(0.22 * quality)}"  # 1 to 15 on libav's scale of 1 to 31
        options = {"qmin": step, "qmax": step, "b": "2000000000"}
    elif spec.name == "png":
        options = {"pred": "mixed"}
    elif spec.name == "libwebp":
        options = {"quality": f"{100 - quality:g}"}
    elif spec.name == "libvpx-vp9":
        realtime = preset is not None and preset.isdigit() and int(preset) > 5
        speed = ("realtime", "0") if realtime else ("good", "25")
        options = {"crf": f"{round(quality)}", "b": "0", "cpu-used": preset, "row-mt": "1"}
        options |= dict(zip(("deadline", "lag-in-frames"), speed, strict=True))
    else:
        options = {"crf": f"{round(quality)}" if spec.name == "libsvtav1" else text, "preset": preset}
    return {key: value for key, value in options.items() if value is not None}


def encoder_options(
    spec: EncoderSpec, quality: float, preset: str | None, info: SourceInfo, field_order: str, threads: int
) -> dict[str, str]:
    """libav options for one segment's encoder. ``field_order``: "", "tff" or "bff"."""
    options = rate_options(spec, quality, preset)
    name = spec.name
    options["g"] = str(max(1, round(GOP_SECONDS * frame_rate(info))))
    if name == "libx264":
        # Not "stitchable": it draws a random number per encoder, and with constant quality the parameter sets depend
        # on the settings alone without it.
        params = {"open-gop": "0", **_x264_hdr(info.hdr)}
        if _has_avx512():
            # x264's AVX-512 code for macroblock trees reads memory nobody wrote: about one encode in a hundred comes
            # out different. AVX2 gives the same bytes every time, and is as fast.
            params["asm"] = "avx2"
        if field_order:
            params[field_order] = "1"
        options |= {"x264-params": _joined(params), "a53cc": "0"}
    elif name == "libx265":
        params = {"info": "0", "log-level": "none", "open-gop": "0", "repeat-headers": "0", "pools": str(threads)}
        options["x265-params"] = _joined(params | _x265_hdr(info.hdr))
    elif name == "libsvtav1":
        options["svtav1-params"] = _joined({"lp": str(threads), **_svt_hdr(info.hdr)})
    return options


@lru_cache(maxsize=1)
def _has_avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _joined(params: dict[str, str]) -> str:
    return ":".join(f"{key}={value}" for key, value in params.items())


def _points(mastering: Mastering, chroma: int, luma: int, whole: bool) -> str:
    """ "G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)" in units of 1/chroma and 1/luma."""

    def number(value: Fraction, scale: int) -> str:
        return str(round(value * scale)) if whole else f"{float(value):.6g}"

    parts = []
    for name, point in (("G", mastering.green), ("B", mastering.blue), ("R", mastering.red), ("WP", mastering.white)):
        x, y = point or (Fraction(0), Fraction(0))
        parts.append(f"{name}({number(x, chroma)},{number(y, chroma)})")
    highest, lowest = mastering.max_luminance or Fraction(0), mastering.min_luminance or Fraction(0)
    return "".join(parts) + f"L({number(highest, luma)},{number(lowest, luma)})"


def _light(hdr: HdrInfo) -> str | None:
    return None if hdr.max_cll is None and hdr.max_fall is None else f"{hdr.max_cll or 0},{hdr.max_fall or 0}"


def _x264_hdr(hdr: HdrInfo) -> dict[str, str]:
    out: dict[str, str] = {}
    if hdr.mastering is not None:
        out["mastering-display"] = _points(hdr.mastering, 50_000, 10_000, whole=True)
    if (light := _light(hdr)) is not None:
        out["cll"] = light
    return out


def _x265_hdr(hdr: HdrInfo) -> dict[str, str]:
    out: dict[str, str] = {}
    if hdr.mastering is not None:
        out |= {"hdr10": "1", "master-display": _points(hdr.mastering, 50_000, 10_000, whole=True)}
    if (light := _light(hdr)) is not None:
        out["max-cll"] = light
    return out


def _svt_hdr(hdr: HdrInfo) -> dict[str, str]:
    out: dict[str, str] = {}
    if hdr.mastering is not None:
        out["mastering-display"] = _points(hdr.mastering, 1, 1, whole=False)
    if (light := _light(hdr)) is not None:
        out["content-light"] = light
    return out
