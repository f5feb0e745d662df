"""`python -m worker.cli`, where the script `collector` is not on the path."""

import sys

from worker.cli import main

sys.exit(main())
