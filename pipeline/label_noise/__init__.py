"""Stage 6: rank labels by how likely they are wrong, out of sample."""
