"""Makes ``acts`` importable by name, as the modules of people are, in worker processes too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
