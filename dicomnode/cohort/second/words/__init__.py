"""What referrers and readers write of a patient of the second edition: wordings by site, and who types how."""
