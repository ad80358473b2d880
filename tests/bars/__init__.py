"""The long trials; see run.py."""
