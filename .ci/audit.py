"""Known vulnerabilities of what is installed, by pip-audit: `python .ci/audit.py`.

Exit status 1 with the list where there are any. Where the audit service cannot be asked, the
script says so and ends with 0: an outage is no finding. pip-audit itself takes a package that the
service does not know for one without faults, so a release with a published vulnerability is asked
about first; unless it is found, no answer of the service means anything.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CANARY = "jinja2==3.1.2"  # CVE-2024-22195 and others
PATIENCE_S = 600


class UnavailableError(Exception):
    """The service cannot be asked; the message says why."""


def audit(*options: str) -> list[dict]:
    """pip-audit's account of each package.

    Raises:
        UnavailableError: there is none.
    """
    command = ["pip-audit", "--format", "json", "--progress-spinner", "off", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        # Its exit status is 1 both for findings and for failures; only an account tells.
        return json.loads(done.stdout)["dependencies"]
    except FileNotFoundError:
        raise UnavailableError("pip-audit is not installed") from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"no answer in {PATIENCE_S} s") from None
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise UnavailableError(last[:300]) from None


def findings(dependencies: list[dict]) -> list[str]:
    """A line for each package with vulnerabilities."""
    lines = []
    for package in dependencies:
        found = package.get("vulns") or []
        names = ", ".join(
            f"{one['id']} (mended in {', '.join(one.get('fix_versions') or ['no release'])})"
            for one in found
        )
        if found:
            lines.append(f"{package['name']} {package['version']}: {names}")
    return lines


def main() -> int:
    """The exit status."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            canary = Path(folder) / "requirements.txt"
            canary.write_text(CANARY + "\n")
            options = ("--no-deps", "--disable-pip", "--requirement", str(canary))
            if not findings(audit(*options)):
                raise UnavailableError(f"the service knows nothing of {CANARY}")
        dependencies = audit()
    except UnavailableError as error:
        print(f"audit: NOT DONE, {error}")
        return 0
    found = findings(dependencies)
    skipped = [package["name"] for package in dependencies if package.get("skip_reason")]
    print(f"audit: {len(dependencies)} packages, {len(found)} with known vulnerabilities")
    if skipped:
        print(f"audit: could not be judged: {', '.join(sorted(skipped))}")
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
