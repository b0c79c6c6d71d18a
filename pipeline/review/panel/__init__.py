"""The steward's panel: what FiftyOne loads as a plugin."""
