"""One offline page: frames, figures, layout."""
