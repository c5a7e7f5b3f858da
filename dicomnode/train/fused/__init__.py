"""What trainings of an outcome share, whichever inputs its model fuses: learner, command, bundle, report."""
