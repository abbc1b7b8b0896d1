"""``python -m resmc`` is the command ``resmc``."""

import sys

from .cli.main import main

sys.exit(main())
