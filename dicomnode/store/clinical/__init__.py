"""What is known of patients beside the images: values, texts, merged IDs, whose study it is."""
