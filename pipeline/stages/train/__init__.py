"""Stage 10: train one member on one arm with one seed."""
