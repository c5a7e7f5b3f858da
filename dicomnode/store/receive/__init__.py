"""Reception's half of the database: associations and instances, images that others rejected."""
