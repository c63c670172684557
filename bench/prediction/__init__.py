"""What a case that was not measured would take: learnt from those that were, with an interval that holds."""
