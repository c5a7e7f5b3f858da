"""The command line: parse, load, call; :mod:`dicomnode.cli.main` puts the commands together."""
