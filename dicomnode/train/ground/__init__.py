"""Bleeds painted into a real head CT without any: training exams on the ground of a real scanner."""
