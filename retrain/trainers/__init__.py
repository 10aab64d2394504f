"""Trainers: one file each, registered under its name in retrain.training.trainer."""
