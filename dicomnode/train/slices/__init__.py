"""Models that find something on slices: exams as planes, batches of slices, losses over pixels, the noisy student."""
