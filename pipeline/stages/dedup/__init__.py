"""Stage 4: find images that show the same photograph or lesion, prove each finding, and split by group."""
