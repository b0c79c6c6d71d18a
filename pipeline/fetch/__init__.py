"""Not a stage: brings data and weights to data/raw. Only this package opens a connection."""
