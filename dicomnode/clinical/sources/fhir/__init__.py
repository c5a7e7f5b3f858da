"""FHIR R4 as a source: a server is asked for what is known of a patient. What counts: ``docs/context.md``."""
