"""The form of a repository's id on the Hub."""

import re

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
