"""Rules of what is read by number: rows, neighbours, the nearest point, between grid points."""
