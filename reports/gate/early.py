"""After two pairs: what the run will be able to see, and whether it is worth its time."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.records.pair import Entry
from reports.gate.judge import MOST_DISTURBED, Terms
from reports.gate.paired import FEWEST_SHARING, chi_squared, pairs_needed, planned
from reports.gate.plan import START_SECONDS, Plan, learnt
from suites import units

PAIRS = 2
"""Are enough to tell noise that is three times too large, over all cases and controls together."""
MOST = 200
"""Pairs that --pairs takes."""
BEYOND = 3.0
"""A plan that will see only what is so many times as slow as asked for ends here."""
FOR_CONFIRMING = 4 / 3
WEIGHT = 4.0
"""Degrees of freedom that what is usual is worth."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a run's plan comes to by its own noise.

    Attributes:
        detectable: the slowdown, as a share, that the plan will let be seen in the middle case; None where all are
            disturbed.
        asked: that a case of its tolerance is not to have, as a share; of the middle case.
        disturbed: how many cases will be INVALID, however quiet the rest of the run.
        hopeless: how many will be, or have a minimum detectable slowdown beyond three times what was asked.
        cases: of all.
        pairs: that let what was asked be seen in the middle case; None where none do.
        seconds: that they take, confirmation included.
    """

    detectable: float | None
    asked: float
    disturbed: int
    hopeless: int
    cases: int
    pairs: int | None
    seconds: float | None

    @property
    def worth(self) -> bool:
        """Whether at least half of the cases will be decided."""
        return 2 * self.hopeless <= self.cases

    def sentence(self) -> str:
        """What is to be said of it."""
        parts = [f"after {PAIRS} pairs:"]
        if self.detectable is None:
            parts.append("what is detectable is not known,")
        else:
            parts.append(f"minimum detectable slowdown {100 * self.detectable:.1f} % in the middle case,")
        parts.append(f"{100 * self.asked:g} % asked for")
        if self.disturbed:
            parts.append(f"; {self.disturbed} of {self.cases} cases are too disturbed already")
        return " ".join(parts).replace(" ;", ";")

    def advice(self) -> str:
        """Why a run ends here, and what would do."""
        if self.disturbed == self.hopeless:
            would = "measure where, or when, nothing else runs"
        elif self.pairs is None or self.seconds is None:
            would = f"not even {MOST} pairs would do"
        else:
            would = f"about {units.duration(self.seconds)} would do (--pairs {self.pairs})"
        ended = f"{self.hopeless} of {self.cases} cases would not be decided: ended by the third pair"
        return f"{ended}; {would}; --go-on measures all the same"


def look(entries: Sequence[Entry], terms: Terms, plan: Plan) -> Outlook | None:
    """From what was measured so far; None where there is nothing that both sides measure."""
    own = {case: [entry for entry in entries if entry.case == case] for case in plan.minimum_detectable}
    own = {case: found for case, found in own.items() if any(not any(entry.pair.outcomes) for entry in found)}
    if not own:
        return None
    sds = _spreads(own)
    cases = len(own)
    detectable = {case: planned(plan.pairs, sd, terms.tolerances[case], cases) - 1 for case, sd in sds.items()}
    disturbed = {case for case, found in own.items() if _disturbed(found, plan.pairs)}
    far = {case for case, share in detectable.items() if share > BEYOND * terms.worst(case)}
    enough = _enough(terms, sds, cases)
    return Outlook(
        detectable=statistics.median(detectable.values()) if detectable else None,
        asked=statistics.median(terms.worst(case) for case in own),
        disturbed=len(disturbed),
        hopeless=len(disturbed | far),
        cases=cases,
        pairs=enough,
        seconds=None if enough is None else FOR_CONFIRMING * enough * _pair_seconds(entries),
    )


def _spreads(own: Mapping[str, list[Entry]]) -> dict[str, float]:
    """Of a pair's log ratio, by case, each drawn to what is usual among them.

    Two pairs tell a single variance only to a factor of ten or more, and its logarithm, which `paired.shared` goes by,
    worse; the middle of all, each over the middle of its chi-squared distribution, no single loud case moves.
    """
    noises = {case: noise for case, found in own.items() if (noise := learnt(found, fewest=2)) and noise.sd > 0}
    if len(noises) < FEWEST_SHARING:
        return {case: noise.sd for case, noise in noises.items()}
    usual = statistics.median(
        each.sd**2 * each.pairs / chi_squared(0.5, each.pairs) for each in noises.values()
    )  # fmt: skip
    return {
        case: math.sqrt((WEIGHT * usual + each.pairs * each.sd**2) / (WEIGHT + each.pairs))
        for case, each in noises.items()
    }


def _disturbed(found: Sequence[Entry], pairs: int) -> bool:
    """Whether so many turns are lost already that the case is INVALID with none lost any more."""
    turns = [entry.pair.disturbed for entry in found if not entry.control and entry.pair.disturbed]
    whole = pairs * statistics.fmean(map(len, turns)) if turns else 0
    return sum(bool(reason) for each in turns for reason in each) > MOST_DISTURBED * whole


def _enough(terms: Terms, sds: Mapping[str, float], cases: int) -> int | None:
    if not sds:
        return None
    case = sorted(sds, key=sds.__getitem__)[len(sds) // 2]
    return pairs_needed(sds[case], terms.tolerances[case], terms.worst(case), cases, MOST)


def _pair_seconds(entries: Sequence[Entry]) -> float:
    numbers = len({(entry.stage, entry.number) for entry in entries})
    return START_SECONDS + sum(entry.seconds for entry in entries) / numbers
