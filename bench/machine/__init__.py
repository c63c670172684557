"""What machine this is, and how it fares while something runs: kernel, drivers, ceilings."""
