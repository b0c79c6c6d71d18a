"""Stage 7: train one member on one arm with one seed."""
