"""Early neurological deterioration after ischaemic stroke, from the record and the request (after Sun et al.)."""
