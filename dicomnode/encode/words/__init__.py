"""What results say, one table for each language: same keys, same places to fill in."""
