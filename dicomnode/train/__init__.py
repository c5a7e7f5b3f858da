"""Training and evaluation: one way for all models."""
