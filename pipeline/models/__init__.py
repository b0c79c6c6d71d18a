"""Not a stage: models, batches of pixels and the training loop. Only learn, embed and bench import torch."""
