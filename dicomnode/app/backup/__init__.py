"""``dicomnode backup`` and ``restore``: a node as one file, and back."""
