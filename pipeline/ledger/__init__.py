"""Not a stage: the stewards' decisions file: append, verify, merge, replay."""
