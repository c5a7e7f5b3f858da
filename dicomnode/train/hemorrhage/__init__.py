"""Training of the ``hemorrhage`` bundle on heads made by ``cohort``."""
