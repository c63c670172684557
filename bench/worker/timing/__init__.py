"""Clocks and sampling: how long a step takes."""
