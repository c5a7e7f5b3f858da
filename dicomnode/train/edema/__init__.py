"""Training of the model of brain oedema: encoders of heads, fusions, figures."""
