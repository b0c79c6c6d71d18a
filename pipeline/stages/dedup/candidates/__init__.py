"""Step 2, which pairs are proposed: by hashes, nearest neighbours, votes of keypoints, or the source's own lesions."""
