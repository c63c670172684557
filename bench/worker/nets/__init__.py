"""Nets: how a case is built, checked, counted and measured."""
