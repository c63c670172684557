"""Results of others as records: summaries, said to be so; what cannot be taken over is told by name."""
