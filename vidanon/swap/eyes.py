"""Eyes drawn anew: the donor's own irises, looking where they are told to, between eyelids as open as the target's.

A warp alone moves neither: it squeezes the donor's eye into the opening. So an eyeball is made once from what the
donor's picture shows of it, and painted into every opening, with the lids' shadow and the lash line over it.

Pictures are (H, W, 3) float32 R'G'B' in [0, 1]; places are px with pixel centres at +0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.faces.mesh_points import eye_distance
from vidanon.swap.eye_texture import POLAR_REACH, Eyeball, eyeball, skin_around
from vidanon.swap.base import Donor
from vidanon.swap.iris import EYES, EyeFrame, eye_frame, find_irises, gaze
from vidanon.swap.iris import _R as _  # noqa
from vidanon.types import FloatArray
