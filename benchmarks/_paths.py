"""Makes the repository's own modules importable: `import _paths` comes before them.

Python puts only the script's folder on its path. `caddm_hf` and the programs are in the folder
above, the helpers shared by benchmarks and tests in `tests/support`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
