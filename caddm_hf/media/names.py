"""How messages and reports name a file or address: one line, without secrets."""

import os
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

# Files with these suffixes are read from a folder. Files named by themselves may have any suffix.
MEDIA_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mts", ".m2ts", ".mpg"}
    | {".mpeg", ".wmv", ".ogv", ".mxf", ".gif", ".apng"}
    | {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
)


def printable(name: str) -> str:
    """Replace characters that would break a line or control a terminal by "?"."""
    return "".join(c if c.isprintable() else "?" for c in name)


def shown_name(path: Path) -> str:
    """A file's base name, quoted for a message: one line, at most 80 characters."""
    name = printable(path.name or str(path))
    return f"'{name if len(name) <= 80 else name[:77] + '...'}'"


def address_file_name(url_path: str) -> str:
    """A harmless file name from the path of a URL, for messages and reports."""
    name = re.sub(r"[^\w.-]+", "_", unquote(url_path.rsplit("/", 1)[-1])).strip(".")
    return name[-80:] or "download"


def shown_address(url: str | SplitResult) -> str:
    """A URL for a message: host and file name only, because the rest may hold a secret."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else url
        host = parts.hostname
    except ValueError:
        return "This address"
    name = address_file_name(parts.path) if parts.path.strip("/") else ""
    return f"'{host}/.../{name}'" if name else f"'{host}'"


def public_name(source: str | os.PathLike) -> str:
    """A file's name for a report: a path as given, a URL without query, fragment and login."""
    name = os.fspath(source)
    if "://" not in name:
        return name
    try:
        parts = urlsplit(name)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        netloc = host if parts.port is None else f"{host}:{parts.port}"
    except ValueError:
        return f"{name.partition('://')[0]}://(an address that is not valid)"
    return parts._replace(netloc=netloc, query="", fragment="").geturl()
