"""The half of the database that those who run the node ask: figures of what is new, and of what waits."""
