"""One module for each source of patient context."""
