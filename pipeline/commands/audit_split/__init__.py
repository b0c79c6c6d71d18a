"""Not a stage: `python -m pipeline audit-split` says what crosses a split that somebody else has made."""
