"""Where models run: each backend does :class:`~dicomnode.execute.backends.contract.Backend`, and nothing else."""
