"""The DICOM conformance statement (PS3.2) of a configuration."""
