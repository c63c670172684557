"""The command's door, under a name of its own: the packages that it opens are those beside it.

`bench`, `suites` and `reports` are names that others have too, on a PYTHONPATH for instance, which goes before.
"""

import sys
from pathlib import Path


def main() -> None:
    """Run the command `dlhw`."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from reports.cli import main as command

    command()


if __name__ == "__main__":
    main()
