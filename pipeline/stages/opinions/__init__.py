"""Stage 5: what further networks see, as more opinions on labels."""
