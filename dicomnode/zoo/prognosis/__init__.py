"""Outcome after intracerebral haemorrhage from CT, record and request (after ICHPro)."""
