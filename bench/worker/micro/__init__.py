"""Micro-benchmarks: what each operation of `suites.micro` does, and how it is measured."""
