"""The anatomical frame of a head: where midline, ventricles and regions are, found without an image of another head."""
