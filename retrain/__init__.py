"""Retraining: decision, pairs, training run, candidate, gate, release."""
