"""`python -m folkmoot.testing.simulation`: the same as `folkmoot-sim`."""

import sys

from folkmoot.testing.simulation.command import main

sys.exit(main())
