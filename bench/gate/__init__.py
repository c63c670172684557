"""Two sides measured by turns, in pairs of fresh processes."""
