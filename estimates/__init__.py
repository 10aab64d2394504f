"""Interval formulas: every number an operator sees comes from here with its uncertainty."""
