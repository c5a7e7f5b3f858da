"""Training of the model of the predicted follow-up scan: pairs, registration, balance of the two tasks, figures."""
