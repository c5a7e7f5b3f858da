"""Requests to HTTP servers of the hospital: time limits, bounded answers, credentials."""
