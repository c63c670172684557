"""The instrument checks itself, and the machine that it stands on."""
