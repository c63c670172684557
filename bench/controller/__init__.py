"""The asking process: it starts measuring processes, asks, watches, and never measures itself."""
