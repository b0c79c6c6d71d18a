"""Stage 2: one decode of each image feeds its perceptual hashes and quality scores."""
