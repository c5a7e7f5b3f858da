"""``dicomnode export-case``: one job as a file that may leave the hospital."""
