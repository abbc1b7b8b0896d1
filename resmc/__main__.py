"""``python -m resmc`` is the command ``resmc``."""

import sys

from .cli import main

sys.exit(main())
