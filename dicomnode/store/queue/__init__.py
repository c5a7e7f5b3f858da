"""The queue's half of the database: jobs, runs, notes about results."""
