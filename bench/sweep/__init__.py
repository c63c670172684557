"""Pytest's side: a suite's cases become tests, each is measured once, all of it is journalled."""
