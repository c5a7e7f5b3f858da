"""Public data sets -> manifests; :mod:`dicomnode.train.importers.layouts` lists them."""
