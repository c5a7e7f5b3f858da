"""The synthetic cohort: procedural heads with bleeds, written as DICOM series. For demo, tests and demo weights."""
