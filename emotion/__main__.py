"""`python -m emotion COMMAND`: the console script `emotion`."""

import sys

from emotion.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
