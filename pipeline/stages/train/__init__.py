"""Stage 9: train one member on one arm with one seed."""
