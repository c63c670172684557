"""How well nets are predicted that were never measured, on tables of hundreds of models that others have measured.

    python docs/experiments/prediction_timm.py FOLDER [--repeats 5] > table.tsv

FOLDER holds timm's published results (huggingface/pytorch-image-models, folder results/), `benchmark-infer-*.csv`. Of a
table a share of its models is known, all rows of each; the others are predicted from FLOPs, activations, parameters and
the family in their name, by what `dlhw predict` does, and by a straight line through the logarithms of FLOPs and time.
timm counts no operators; bytes are taken as every activation written and read once, and the weights.
Figures: docs/prediction.md.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from bench.prediction.evaluate import Split, by_flops, ours, score
from bench.prediction.facts import ITEM_BYTES, Facts, StepWork
from bench.prediction.predict import Learnt
from reports.results.imports import timm
from suites.case import Case

SHARES = (0.05, 0.15, 0.5)


COUNTED = ("infer_gmacs", "infer_macts", "param_count")


def learnt(path: Path) -> Learnt:
    """What a table says: facts of each row that has all counts, and seconds a step."""
    records = timm.read(path).parts[0].records
    cases = [(Case.from_json({**record.case, "threads": 1}), record.seconds[0]) for record in records]
    measured = {(case.architecture, str(case.input_shape[-1])): (case, seconds) for case, seconds in cases}
    facts, times = [], []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            same = timm.TORCHVISION.get(row["model"])
            name = f"torchvision:{same}" if same else f"timm:{row['model']}"
            found = measured.get((name, row["infer_img_size"]))
            if found and all(row[column] for column in COUNTED):
                facts.append(Facts(found[0], work(row, found[0])))
                times.append(found[1])
    return Learnt(facts, np.array(times), np.zeros(len(times)))


def work(row: dict[str, str], case: Case) -> StepWork:
    """Of one step, by timm's columns: 10^9 multiply-adds, 10^6 activations an image, 10^6 parameters."""
    parameters = 1e6 * float(row["param_count"])
    activations = 1e6 * float(row["infer_macts"]) * case.batch_size
    octets = 2 * activations * ITEM_BYTES[case.precision] + 4 * parameters
    return StepWork(2e9 * float(row["infer_gmacs"]) * case.batch_size, octets, octets, None, parameters)


def split(known: Learnt, share: float, seed: int) -> Split:
    """Numbers of the rows of so many models, drawn by lot."""
    names = [facts.case.architecture for facts in known.facts]
    models = sorted(set(names))
    chosen = set(np.random.default_rng(seed).permutation(models)[: round(share * len(models))])
    numbers = [number for number, name in enumerate(names) if name in chosen]
    return numbers, numbers


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=5, help="draws of the known models")
    options = parser.parse_args()
    print("table\trows\tshare of models known\tmedian error\t90th percentile\tintervals hold\thalf width\tFLOPs alone")
    for path in sorted(options.folder.glob("benchmark-infer-*.csv")):
        known = learnt(path)
        for share in SHARES:
            splits = [split(known, share, seed) for seed in range(options.repeats)]
            found, plain = score(known, path.stem, "", splits, ours), score(known, path.stem, "", splits, by_flops)
            figures = (found.median_error, found.p90_error, found.coverage, found.half_width, plain.median_error)
            shown = ["-" if figure is None else f"{figure:.1%}" for figure in figures]
            print(path.stem.partition("infer-")[2], len(known.facts), f"{share:.0%}", *shown, sep="\t", flush=True)


if __name__ == "__main__":
    main()
