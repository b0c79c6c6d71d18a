"""Stage 6: what fine-tuned members make of pictures that they never saw."""
