"""What is measured: cases, axes, suites and nets. Pure data and model code; nothing here times anything."""
