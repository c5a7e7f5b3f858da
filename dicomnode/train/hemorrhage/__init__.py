"""Training of the ``hemorrhage`` bundle: cohorts of two sites, teacher, noisy student, and what each is worth."""
