"""The second edition of the cohort: patients, words, outcomes, course and pictures that ask more of a model."""
