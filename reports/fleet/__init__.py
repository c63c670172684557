"""Fleets on the command line, and what a fleet tells: which machine is not like the others of its kind."""
