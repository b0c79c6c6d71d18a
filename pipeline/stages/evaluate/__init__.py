"""Stage 11: score members and ensemble, and measure what the curation gained."""
