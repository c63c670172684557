"""What a measurement is: cases' records, journals, statistics of samples. Standard library only."""
