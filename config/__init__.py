"""Fills core's settings from flags, environment, file and defaults, and keeps the installation's secrets."""

from config.load import load

__all__ = ["load"]
