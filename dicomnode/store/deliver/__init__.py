"""Delivery's half of the database: results, outbox, proofs, storage commitments, stand-ins, held results."""
