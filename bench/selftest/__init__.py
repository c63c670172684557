"""`dlhw selftest`: does every way of measuring work on this machine's devices? One line a check, one file to send."""
