"""Rules of arithmetic: what changes nothing goes, what is known is computed, one kernel does what several calls did."""
