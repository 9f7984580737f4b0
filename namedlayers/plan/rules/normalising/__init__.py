"""Rules of what is normalised along an axis: norms, softmax, attention."""
