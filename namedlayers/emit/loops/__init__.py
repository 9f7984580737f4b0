"""Scans: loops in place, their gradients, recurrences; what runs bodies, and what is decided of their steps."""
