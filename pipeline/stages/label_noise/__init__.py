"""Stage 7: rank labels by how likely they are wrong, out of sample."""
