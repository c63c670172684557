"""What results mean: bounds, layers, explanations, advice, comparisons, claims."""
