"""What the name of a repository on the Hub looks like."""

import re

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
