"""Calls within a budget of memory: a graph in parts, parts in pieces, results put together."""
