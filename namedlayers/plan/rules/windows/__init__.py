"""Rules of windows: convolutions, pools, padding, shifts."""
