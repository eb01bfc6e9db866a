"""The command line: `python -m caddm_hf COMMAND --help`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
