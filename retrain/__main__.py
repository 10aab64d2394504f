"""`python -m retrain`: starts the worker."""

import sys

from retrain.app import main

if __name__ == "__main__":
    sys.exit(main())
