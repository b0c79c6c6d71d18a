"""Draws what `fetch demo` brings: lesion-like pictures whose truth is known because we made it."""
