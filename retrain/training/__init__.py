"""What trainers are made of: a run's spec, pairs as token rows, the model in training, losses, checkpoints, scoring."""
