"""From voxels to numbers: regions and lesions, ABC/2, the score of an exam."""
