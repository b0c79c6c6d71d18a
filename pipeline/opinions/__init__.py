"""Stage 5: what another network sees, as a second opinion on labels."""
