"""Is head slower than base: planned, run, judged and reported."""
