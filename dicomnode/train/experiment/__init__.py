"""Trainings from several seeds and arms, compared on the same unseen exams: from cohorts to weights and one report."""
