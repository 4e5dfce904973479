"""``python -m vidanon``."""

import sys

from vidanon.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
