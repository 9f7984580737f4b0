"""Rules of what depends on where along an axis a place lies: sums up to each, decays, waves, transforms."""
