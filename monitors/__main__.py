"""`python -m monitors`: starts the scheduler and the notices."""

import sys

from monitors.app import main

if __name__ == "__main__":
    sys.exit(main())
