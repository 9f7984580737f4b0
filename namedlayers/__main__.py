"""`python -m namedlayers`, the same as the command `namedlayers`."""

from namedlayers.cli import main

raise SystemExit(main())
