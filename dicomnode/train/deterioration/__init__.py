"""Training of the model of early neurological deterioration: reader of requests, fusion, figures."""
