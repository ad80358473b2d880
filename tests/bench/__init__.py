"""Figures by hand; see run.py."""
