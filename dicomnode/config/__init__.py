"""``config.toml`` -> frozen models, made by :mod:`dicomnode.config.load`."""
