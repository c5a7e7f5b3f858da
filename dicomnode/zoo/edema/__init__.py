"""Brain oedema from CT and record (after AttentionMixer)."""
