"""What operators ask: jobs, held results, series without a job, and all that happened to an identifier."""
