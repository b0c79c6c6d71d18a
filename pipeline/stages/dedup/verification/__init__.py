"""Step 3, which pairs are proven: aligned by keypoints or directly, registered tile by tile, judged by thresholds."""
