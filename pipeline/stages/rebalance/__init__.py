"""Stage 9: build the training set of an arm: who is in, with which label and weight, and who is out, and why."""
