"""The measuring process: it alone imports torch. `python -m bench.worker` is its door."""
