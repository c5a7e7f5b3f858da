"""The HTTP port of those who run the node: probes, metrics, status page. Needs the extra ``[operations]``."""
