"""`python -m router_lab.cli`."""

import sys

from router_lab.cli.command import main

sys.exit(main())
