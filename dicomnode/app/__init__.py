"""The composition root: builds the parts that a role or a command needs."""
