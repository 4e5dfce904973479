"""Looking at a face more widely than a recogniser does: weak ones look at hair and outline, which a swap leaves.

What our own recogniser says of wider crops goes along with what they say: over the donors drawn on one person by a
correlation of .5 to .8, where what it says of its own crop has .2 less.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vidanon.recognise.base import Description

#: times the recogniser's own crop, and how far the look's middle is moved down, shares of half the crop
VIEWS = ((1.0, 0.0), (1.15, 0.0), (1.3, -0.06), (1.5, -0.14))
TELLING = VIEWS[2]  #: the one that says most of other recognisers


def wider(about: Description, view: tuple[float, float]) -> Description:
    """The same recogniser, asked through a crop as wide as ``view`` says."""
    zoom, down = view
    half = (about.size - 1) / 2
    marks = ((np.array(about.template) - half) / half - (0.0, down)) / zoom * half + half
    return replace(about, template=tuple((float(x), float(y)) for x, y in marks))
