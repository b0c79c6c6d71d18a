"""Near-duplicate finders side by side, on copies planted among real images."""
