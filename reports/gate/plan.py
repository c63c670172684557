"""Before a gate runs: how many pairs, how long, and what it will be able to see; by the noise known of this machine."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from bench.machine import cache
from bench.records.pair import Entry
from reports.gate.paired import pairs_needed, planned
from suites import units
from suites.errors import DlhwError

PAIRS = 6
FEWEST, MOST = 4, 60
ASSUMED_SD = 0.015
"""Of a pair's log ratio, where nothing is known of the machine yet."""
MOST_REMEMBERED = 60
"""So many pairs of a case are remembered: what a machine was like long ago is to fade."""
START_SECONDS = 5.0
"""Three interpreters import torch."""
PLAY_SECONDS = 1.7
"""One case of one pair, where nothing is known of it yet."""
BEYOND_SEEN = 1.5
"""A slowdown that is put in on purpose exceeds the smallest that is expected to be seen by this factor."""


@dataclass(frozen=True)
class Noise:
    """What is known of a case on a machine: sd of a pair's log ratio, from how many pairs, and what a pair takes."""

    sd: float
    pairs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to do.

    Attributes:
        pairs, confirm: of stage 1, and of stage 2 where there are candidates.
        injected: by how much a positive control is slowed down, as a share.
        seconds: of stage 1.
        minimum_detectable: case id -> the slowdown, as a ratio, that it will let be seen four times in five.
        known: how many of the cases have been measured on this machine before.
    """

    pairs: int
    confirm: int
    injected: float
    seconds: float
    minimum_detectable: Mapping[str, float]
    known: int

    def to_json(self) -> dict[str, Any]:
        """As a journal's header holds it; `seen` is the format's word for what can be detected."""
        data = asdict(self)
        return data | {"seen": data.pop("minimum_detectable")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Make the plan of which `to_json` made `data`.

        Raises:
            LookupError, TypeError: it did not.
        """
        known = dict(data)
        return cls(minimum_detectable=known.pop("seen"), **known)

    def sentence(self) -> str:
        """What is to be said of it before it starts."""
        time = units.duration(self.seconds)
        grounds = (
            f"{self.known} of {len(self.minimum_detectable)} cases"
            if self.known
            else f"none yet; {100 * ASSUMED_SD:g} % assumed"
        )
        middle, worst = statistics.median(self.minimum_detectable.values()), max(self.minimum_detectable.values())
        cases = units.count(len(self.minimum_detectable), "case")
        return (
            f"{self.pairs} pairs of {cases} and their controls, about {time}; "
            f"candidates then have {self.confirm} fresh pairs. Noise known of this machine: {grounds}. "
            f"Minimum detectable slowdown: {100 * (middle - 1):.1f} % in the middle case, "
            f"{100 * (worst - 1):.1f} % in the noisiest."
        )


def plan(
    tolerances: Mapping[str, float], known: Mapping[str, Noise], *, controls: int, pairs: int | None = None,
    budget_seconds: float | None = None, detect: float | None = None,
) -> Plan:  # fmt: skip
    """Plan a run over cases with these tolerances.

    Args:
        pairs: so many, whatever they let be seen.
        budget_seconds: as many as fit into this time, confirmation included.
        detect: as many as let this slowdown be seen in every case, as 0.03.

    Raises:
        DlhwError: what is asked for cannot be had; the text names the option.
    """
    sds = {case: known[case].sd if case in known else ASSUMED_SD for case in tolerances}
    count = pairs or PAIRS
    if detect is not None:
        count = _detecting(tolerances, sds, detect)
    single = START_SECONDS + sum(known[case].seconds if case in known else PLAY_SECONDS for case in tolerances)
    single += controls * PLAY_SECONDS
    if budget_seconds is not None:
        count = _affordable(budget_seconds, single)
    detectable = {case: planned(count, sds[case], share, len(tolerances)) for case, share in tolerances.items()}
    middle = statistics.median(detectable.values()) - 1 if detectable else 0.0
    return Plan(
        pairs=count,
        confirm=count,
        injected=max(2 * max(tolerances.values(), default=0.0), BEYOND_SEEN * middle),
        seconds=count * single,
        minimum_detectable=detectable,
        known=sum(case in known for case in tolerances),
    )


def _detecting(tolerances: Mapping[str, float], sds: Mapping[str, float], detect: float) -> int:
    """Pairs that let `detect` be seen in the case that needs the most of them."""
    needed = FEWEST
    for case, tolerance in tolerances.items():
        found = pairs_needed(sds[case], tolerance, detect, len(tolerances), MOST)
        if found is None:
            raise DlhwError(
                f"--detect {100 * detect:g}%: {case} differs by {100 * sds[case]:.1f} % from pair to pair and is let "
                f"be {100 * tolerance:g} % slower: more than {MOST} pairs would be needed"
            )
        needed = max(needed, found)
    return needed


def _affordable(budget_seconds: float, single_seconds: float) -> int:
    """Pairs that leave a quarter of the time for confirming."""
    count = math.floor(0.75 * budget_seconds / single_seconds)
    if count < FEWEST:
        raise DlhwError(
            f"--budget {units.duration(budget_seconds)}: a pair of all cases takes about {single_seconds:.0f} s, and "
            f"{FEWEST} are the fewest: at least {units.duration(FEWEST * single_seconds / 0.75 + 1)} are needed"
        )
    return min(count, MOST)


def kept(fingerprint: str) -> dict[str, Noise]:
    """What earlier gates on this machine have left, by case.

    Raises:
        DlhwError: the file is damaged.
    """
    data = cache.read(_name(fingerprint)) or {}
    try:
        return {
            str(case): Noise(float(found["sd"]), int(found["pairs"]), float(found["seconds"]))
            for case, found in data.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise cache.damaged(_name(fingerprint)) from error


def keep(entries: Sequence[Entry], fingerprint: str) -> None:
    """Add what a run's first stage has shown, controls included, to what is kept.

    Raises:
        DlhwError: it cannot be written.
    """
    known = kept(fingerprint)
    for case in dict.fromkeys(entry.case for entry in entries):
        if found := learnt([entry for entry in entries if entry.case == case and entry.stage == 1]):
            known[case] = _together(known[case], found) if case in known else found
    cache.write(_name(fingerprint), {case: asdict(noise) for case, noise in known.items()})


def learnt(entries: Sequence[Entry], fewest: int = 3) -> Noise | None:
    """What one run tells of a case's noise: spreads of the case and of its controls, each around its own mean.

    Args:
        fewest: of pairs, for a spread to count.
    """
    groups: dict[str, list[float]] = {}
    for entry in entries:
        if entry.pair.log_ratio is not None:
            groups.setdefault(entry.control, []).append(entry.pair.log_ratio)
    spread = [group for group in groups.values() if len(group) >= fewest]
    if not spread:
        return None
    freedom = sum(len(group) - 1 for group in spread)
    variance = sum(statistics.variance(group) * (len(group) - 1) for group in spread) / freedom
    return Noise(math.sqrt(variance), freedom, statistics.median(entry.seconds for entry in entries))


def _together(old: Noise, new: Noise) -> Noise:
    counted = min(old.pairs, MOST_REMEMBERED - min(new.pairs, MOST_REMEMBERED - 1))
    pairs = counted + new.pairs
    variance = (counted * old.sd**2 + new.pairs * new.sd**2) / pairs
    return Noise(math.sqrt(variance), pairs, new.seconds)


def _name(fingerprint: str) -> str:
    return f"noise/{fingerprint}"


def confirming(differences: Iterable[tuple[float, float]], pairs: int, cases: int) -> int:
    """Pairs that confirm candidates: enough to see twice the tolerance by this run's noise, within reason.

    Args:
        differences: of each candidate, sd of a pair and tolerance.
        pairs: of stage 1: no fewer, and no more than twice as many.
    """
    needed = [pairs_needed(sd, tolerance, 2 * tolerance, cases, 2 * pairs) for sd, tolerance in differences]
    return max([pairs, *(2 * pairs if count is None else count for count in needed)])
