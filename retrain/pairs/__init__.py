"""Preference pairs: made from feedback, checked before they may train, and drawn into a dataset for a run."""
