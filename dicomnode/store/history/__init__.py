"""What operators ask: jobs, one job with its runs and deliveries, and everything that happened to an identifier."""
