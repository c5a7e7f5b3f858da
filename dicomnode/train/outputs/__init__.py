"""What a model can give, and how each kind is judged: probabilities, masks, values, images."""
