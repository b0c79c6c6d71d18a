"""Stage 8: train one member on one arm with one seed."""
