"""What changed, when, and whose doing it was: runs of many nights in one store."""
