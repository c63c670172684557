"""How good predictions are: error and coverage against the share of a grid that is measured, and for nets left out.

    python docs/experiments/prediction.py GRID.json

GRID.json: a results file of some hundred cases of several nets, as `pytest bench/` writes it.
"""

import sys
from pathlib import Path

from reports.analysis.predict import evaluations

if __name__ == "__main__":
    print("method\tmeasured or left out\tcases\tmedian error\t90th percentile\tintervals hold\thalf width")
    for _, score in evaluations([Path(sys.argv[1])]):
        rest = [score.coverage, score.half_width]
        figures = [
            f"{score.median_error:.1%}",
            f"{score.p90_error:.1%}",
            *("-" if x is None else f"{x:.0%}" for x in rest),
        ]
        print(score.method, score.what, f"{score.measured} -> {score.hidden}", *figures, sep="\t")
