"""Rules of sums of products: formed, joined, multiplied out, taken apart."""
