"""Rules of the very end, once all else is known: what joins a kernel that is there."""
