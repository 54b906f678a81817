"""`python -m router_lab.cli`."""

import sys

from router_lab.cli.main import main

sys.exit(main())
