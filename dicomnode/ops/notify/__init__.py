"""Tells people, by webhook and mail, when the node does not work, when it does again, and of urgent findings."""
