"""What `fingerprint` yields."""

from __future__ import annotations

import pyarrow as pa

from pipeline.core.table import Table, number, text, texts, vector

FLAGS = ("blank", "dark", "bright", "blurred", "low_contrast", "dark_corners", "small", "odd_aspect")


class Fingerprints(Table):
    """Hashes and quality of every image, from one decode."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        number("mean", "of the luma, at 64 by 64 pixels as the next two and the dark corners; 0 to 1"),
        number("std", "of the luma, 0 to 1"),
        number("range", "of the luma between its 1st and 99th percentile, 0 to 1"),
        number("sharpness", "variance of the Laplacian of the luma at no more than 256 pixels, 0 to 255 scale"),
        number("dark_corners", "share of the area that is dark and connected to a corner: vignette or background"),
        number("aspect", "longer side by shorter side"),
        texts("flags", f"by the thresholds of `fingerprint/quality.py` and a param: {', '.join(FLAGS)}"),
        vector(
            "phash",
            "256-bit pHash over the 8 rotations and flips: 8 by 32 bytes, orientation by orientation",
            of=pa.uint8(),
        ),
    )
