"""Descriptors: pure functions that read a text and say one plain thing about it. What they find is never logged."""
