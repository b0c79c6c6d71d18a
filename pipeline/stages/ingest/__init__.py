"""Stage 1: read sources, normalise pixels once, write tar shards; bad input becomes rows with a reason."""
