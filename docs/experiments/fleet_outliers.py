"""How often one bad machine among some of a kind is named, and a good one is: simulated fleets with recorded noise.

    python docs/experiments/fleet_outliers.py RESULTS.json

Noise: the ratios of single launches to their case's middle, of a results file with several launches a case (--launches
5); an anchor's logarithm is the mean of four such, two cases before and after. Machines of a kind differ by themselves
with a standard deviation of 1 %, as is assumed here.
"""

import json
import math
import random
import statistics
import sys
from pathlib import Path

from reports.fleet.compare import outliers

FLEETS = 2000
OWN_SPREAD = 0.01
ANCHORS = 4


def recorded(path: Path) -> list[float]:
    """Logarithms of launches' medians against their case's."""
    found = []
    for benchmark in json.loads(path.read_text())["benchmarks"]:
        medians = [launch["median_seconds"] for launch in benchmark["extra_info"]["sampling"]["launches"]]
        middle = statistics.median(medians)
        found += [math.log(median / middle) for median in medians] if len(medians) > 2 else []
    return found


def fleet(nodes: int, slow: float, noise: list[float], toss: random.Random) -> dict[str, float]:
    """Node -> mean logarithm of its anchors; the first is slower by `slow`."""
    return {
        str(node): toss.gauss(0, OWN_SPREAD) + statistics.fmean(toss.choices(noise, k=ANCHORS))
        + (math.log1p(slow) if node == 0 else 0.0)
        for node in range(nodes)
    }  # fmt: skip


def main() -> None:
    """Print a row a size of fleet and slowdown."""
    noise = recorded(Path(sys.argv[1]))
    toss = random.Random(1)
    print(f"{len(noise)} launches, sd {100 * statistics.stdev(noise):.1f} %")
    print("nodes\tslower\tnamed\ta good one named (fleets)")
    for nodes in (4, 8, 16, 64):
        for slow in (0.0, 0.05, 0.10, 0.20):
            found = [outliers(fleet(nodes, slow, noise, toss), 0.05) for _ in range(FLEETS)]
            named = sum("0" in each for each in found) / FLEETS
            good = sum(bool(each - {"0"}) for each in found) / FLEETS
            print(f"{nodes}\t{slow:.0%}\t{named:.1%}\t{good:.1%}")


if __name__ == "__main__":
    main()
