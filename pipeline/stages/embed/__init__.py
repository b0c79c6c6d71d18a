"""Stage 3: image embeddings by open_clip or timm."""
