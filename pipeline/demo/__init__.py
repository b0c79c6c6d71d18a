"""Draws what `fetch demo` brings: lesion-like images whose truth is known because we made it."""
