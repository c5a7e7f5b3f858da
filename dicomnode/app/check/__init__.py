"""The parts of ``dicomnode check``."""
