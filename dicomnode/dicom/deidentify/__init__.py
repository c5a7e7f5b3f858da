"""The Basic Application Level Confidentiality Profile (DICOM PS3.15 E.2) on one data set."""
