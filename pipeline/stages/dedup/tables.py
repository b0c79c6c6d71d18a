"""What `dedup` yields."""

from __future__ import annotations

from pipeline.core.grouping import SPLITS
from pipeline.core.table import Table, integer, number, text, texts, vector


class Duplicates(Table):
    """Edges: two images that show the same photograph (`copy`) or the same lesion, each with its proof."""

    key = ("a", "b")
    columns = (
        text("a", "image_id, smaller than b"),
        text("b", "image_id"),
        text(
            "relation", "the same photograph, or another photograph of the same lesion", choices=("copy", "same_lesion")
        ),
        text(
            "evidence",
            "what proves it: equal bytes, equal pixels, or geometry",
            choices=("bytes", "pixels", "geometry"),
        ),
        texts("proposed_by", "bytes, pixels, phash, thumbnail, embedding, features (of full frames), panel, lesion"),
        number("overlap", "share of the smaller image's area that the transform maps into the other, 0 to 1"),
        number("correlation", "of the grey values where the two overlap, a low quantile over tiles, -1 to 1"),
        number("residual", "local shifts that no homography explains, by what noise explains", nullable=True),
        number("bending", "working pixels by which a smooth field displaces, beyond the homography", nullable=True),
        number(
            "shared_occlusions",
            "how far the smaller occlusions (hairs, letters) lie on the other's: 1 wholly, 0 as by chance",
            nullable=True,
        ),
        integer(
            "inliers",
            "keypoint matches that agree with the transform; 0 where the images were aligned directly",
        ),
        vector("transform", "3 by 3 homography, row by row: pixels of a to pixels of b"),
    )


class Groups(Table):
    """For every image, whose copy it is, what it must not be parted from, and its split."""

    key = ("image_id",)
    columns = (
        text("image_id", "of Images"),
        text("duplicate_of", "the kept image, with a direct `copy` edge", nullable=True),
        text("group_id", "smallest image_id of the component over patient, lesion and verified edges"),
        text("split", "one a group", choices=SPLITS),
    )
