"""What the candidate search costs as images grow in number, and whether it misses any."""
