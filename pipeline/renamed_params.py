"""What keys of older params.yaml are called now, or where their values stand; docs/decisions/0017 says why."""

from __future__ import annotations

from collections.abc import Iterable

# Old key: new key; what stood below it follows.
RENAMED = {
    "engine": "runtime.engine",
    "fingerprint.quality.low_contrast_max_range": "fingerprint.low_contrast_max_range",
    "embed.encoder": "embed.encoders.clip",
    "embed.levels": "embed.encoders.clip.layers",
    "embed.device": "runtime.device",
    "embed.batch_size": "runtime.batch_size",
    "opinions.networks": "embed.encoders",
    "opinions.device": "runtime.device",
    "opinions.batch_size": "runtime.batch_size",
    "dedup.candidates.neighbours": "dedup.neighbours",
    "dedup.candidates.lesion_pairs": "dedup.lesion_pairs",
    "dedup.pictures": "dedup.report_images",
    "label_noise.probe.folds": "label_noise.folds",
    "label_noise.probe.nearest": "label_noise.neighbours",
    "label_noise.probe.seed": "seed",
    "label_noise.pictures": "label_noise.report_images",
    "rebalance.seed": "seed",
    "rebalance.weights": "rebalance.balance",
    "rebalance.weights.scheme": "rebalance.balance.policy",
    "train.device": "runtime.device",
    "evaluate.seed": "seed",
}

# Of each file the old keys whose values it holds now, and the name there.
CONSTANTS = {
    "pipeline/stages/ingest/packing.py": {
        "ingest.limits.images_per_shard": "IMAGES_PER_SHARD",
    },
    "pipeline/stages/fingerprint/stage.py": {
        "fingerprint.images_per_task": "IMAGES_A_TASK",
    },
    "pipeline/stages/fingerprint/quality.py": {
        "fingerprint.quality.blank_max_std": "Thresholds.blank_max_std",
        "fingerprint.quality.dark_max_mean": "Thresholds.dark_max_mean",
        "fingerprint.quality.bright_min_mean": "Thresholds.bright_min_mean",
        "fingerprint.quality.blurred_max_sharpness": "Thresholds.blurred_max_sharpness",
        "fingerprint.quality.dark_corners_min_share": "Thresholds.dark_corners_min_share",
        "fingerprint.quality.small_max_side_pixels": "Thresholds.small_max_side_pixels",
        "fingerprint.quality.odd_min_aspect": "Thresholds.odd_min_aspect",
    },
    "pipeline/stages/dedup/candidates/propose.py": {
        "dedup.candidates.max_distance_bits": "Reach.max_distance_bits",
        "dedup.candidates.thumbnails": "Reach.thumbnails",
        "dedup.candidates.voters": "Reach.keypoints",
        "dedup.candidates.min_votes": "Reach.min_votes",
    },
    "pipeline/stages/dedup/features/preprocess.py": {
        "dedup.verify.side_pixels": "SIDE_PIXELS",
    },
    "pipeline/stages/dedup/features/keypoints.py": {
        "dedup.verify.max_features": "MAX_KEYPOINTS",
    },
    "pipeline/stages/dedup/verification/relations.py": {
        "dedup.verify.copy_min_correlation": "Thresholds.copy_min_correlation",
        "dedup.verify.copy_min_inliers": "Thresholds.copy_min_inliers",
        "dedup.verify.copy_min_overlap": "Thresholds.copy_min_overlap",
        "dedup.verify.copy_max_deformation": "Thresholds.copy_max_residual",
        "dedup.verify.copy_max_bending_pixels": "Thresholds.copy_max_bending_pixels",
        "dedup.verify.copy_min_shared_clutter": "Thresholds.copy_min_shared_occlusions",
        "dedup.verify.near_min_correlation": "Thresholds.phash_min_correlation",
        "dedup.verify.whole_min_correlation": "Thresholds.thumbnail_min_correlation",
        "dedup.verify.smooth_min_correlation": "Thresholds.smooth_min_correlation",
        "dedup.verify.same_lesion_min_correlation": "Thresholds.same_lesion_min_correlation",
        "dedup.verify.same_lesion_min_inliers": "Thresholds.same_lesion_min_inliers",
    },
    "pipeline/stages/label_noise/knn.py": {
        "label_noise.probe.nearest_components": "COMPONENTS",
    },
    "pipeline/stages/label_noise/cross_validation.py": {
        "label_noise.probe.components": "COMPONENTS",
        "label_noise.components": "COMPONENTS",
        "label_noise.probe.c": "REGULARIZATION_C",
        "label_noise.regularization_c": "REGULARIZATION_C",
    },
    "pipeline/stages/label_noise/noise_model.py": {
        "label_noise.noise.start": "NOISE_RATE",
        "label_noise.initial_noise_rate": "NOISE_RATE",
        "label_noise.noise.prior_lesions": "NoiseSettings.prior_labels",
        "label_noise.noise.glances": "NoiseSettings.weak_components",
    },
    "pipeline/stages/label_noise/scores.py": {
        "label_noise.examples": "EXAMPLES",
    },
    "pipeline/stages/label_noise/outliers.py": {
        "label_noise.off_topic.share": "SHARE",
        "label_noise.off_topic.level_share": "LAYER_SHARE",
    },
    "pipeline/stages/label_noise/audit_sample.py": {
        "label_noise.audit.strata": "STRATA",
    },
}

# Old key: why nothing took its place.
GONE = {
    "cross_fit": "fine-tuned members do not judge labels any more; it was off in every profile (decision 13)",
    "label_noise.probe.repeats": "ten folds once do better than five twice (decision 20)",
    "label_noise.repeats": "ten folds once do better than five twice (decision 20)",
    "label_noise.noise.rounds": "labels are doubted once, by cross-validation within a fold (decision 20)",
    "label_noise.probe.context_weight": "was 1.0, so the context stands beside the components as it is",
    "label_noise.probe.encoders": "was pooled in every profile",
    "label_noise.probe.landmarks": "was off in every profile",
    "label_noise.probe.curvature": "belonged to the landmarks",
}


def answer(places: Iterable[str]) -> str:
    """Say the new name of each old key, one a line; nothing where none of them is old.

    Args:
        places: keys `a.b.c` that nothing reads.

    """
    lines = [f"  {place} {told}" for place in places if (told := _told(place))]
    if not lines:
        return ""
    tail = "  (`python -m pipeline use <profile>` writes a new params.yaml and keeps this one)"
    return "\n".join(["these keys are of an older version:", *lines, tail])


def _told(place: str) -> str:
    """Say what a key is called now, by its own row or that of the nearest mapping above it."""
    parts = place.split(".")
    for length in range(len(parts), 0, -1):
        stem, rest = ".".join(parts[:length]), parts[length:]
        if stem in RENAMED:
            return f"is now {'.'.join([RENAMED[stem], *rest])}"
        for file, names in CONSTANTS.items():
            if stem in names:
                return f"is a constant now: {names[stem]} in {file}"
        if stem in GONE:
            return f"is gone: {GONE[stem]}"
    return ""
