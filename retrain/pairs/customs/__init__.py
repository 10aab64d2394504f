"""Customs: checks that look at a whole lot of preference pairs before any of them may train. Pure."""
