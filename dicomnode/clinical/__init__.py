"""What is known of the patient beside the images: coded variables and report texts, from several sources."""
