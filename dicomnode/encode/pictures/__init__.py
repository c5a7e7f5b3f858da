"""What is drawn: the overview, slices with their marks, outlines."""
