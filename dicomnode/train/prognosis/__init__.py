"""Training of the model of the outcome after intracerebral haemorrhage: reader, fusions, regression, figures."""
