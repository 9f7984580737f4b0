"""Rules of losses of classes."""
