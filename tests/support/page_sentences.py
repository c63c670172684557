"""Every sentence of the page once more, of the results' table alone: none of what the page or its figures compute.

Written with pandas where the page's own modules are JavaScript, so that both can only agree where both are right.
"""

import math

import numpy as np
import pandas as pd

from suites import units

CASE = ["architecture", "input_shape", "mode", "batch_size", "precision", "memory_format", "compile_mode",
        "cudnn_benchmark", "power_limit"]  # fmt: skip
NET = ["architecture", "input_shape"]
BASES = {"precision": "fp32", "memory_format": "contiguous", "compile_mode": "eager", "cudnn_benchmark": "off"}
WAYS = {"same": "the same settings", "best": "each machine's best setting"}


def prepared(cases):
    """With a system, a speed, and the half width of its logarithm; unknown axes as `-`, so that they group."""
    own = cases.copy()
    own["system"] = own["machine"].astype(str)
    own["speed"] = (own["batch_size"] / own["median_seconds"]).astype(float)
    own["half"] = np.log((own["high_seconds"] / own["low_seconds"]).astype(float)) / 2
    for axis in [*CASE, "threads", "operation", "variant"]:
        own[axis] = own[axis].astype(object).where(own[axis].notna(), "-")
    return own


def chosen(cases, systems=(), nets=(), settings=None):
    """The rows that pass; what has no net, as a micro-benchmark, passes a choice of nets."""
    keep = pd.Series(True, index=cases.index)
    if systems:
        keep &= cases["system"].isin(systems)
    if nets:
        keep &= cases["architecture"].isin([*nets, "-"])
    for axis, values in (settings or {}).items():
        keep &= cases[axis].isin([*values, "-"])
    return cases[keep]


def measured_nets(cases, mode):
    return cases[(cases["kind"] == "net") & (cases["mode"] == mode) & (cases["status"] == "measured")]


def name(net):
    return f"{net[0]} {net[1].split('x')[-1]} px"


def said(row):
    parts = [
        row["precision"],
        *(row[a] for a in ("memory_format", "compile_mode") if row[a] not in ("contiguous", "eager", "-")),
    ]
    return " ".join([*parts, f"b{row['batch_size']}"])


def geometric(values):
    return math.exp(np.log(np.asarray(values, float)).mean())


def number(value):
    return units.number(value)


def interval(value, half):
    if half is None or math.isnan(half):
        return number(value)
    return f"{number(value)} [{number(value * math.exp(-half))}, {number(value * math.exp(half))}]"


def counted(count, noun):
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def compared(cases, mode, way):
    """(a table of the best speeds, case by system, of the systems that are compared; the systems left out)."""
    own = measured_nets(cases, mode)
    keys = CASE if way == "same" else NET
    best = own.sort_values("speed").drop_duplicates([*keys, "system"], keep="last")
    wide = best.set_index([*keys, "system"])["speed"].unstack("system")
    half = best.set_index([*keys, "system"])["half"].unstack("system")
    sets = [frozenset(wide.columns[row]) for row in wide.notna().to_numpy()]
    group = max(set(sets), key=lambda each: (len(each), sum(each <= other for other in sets)), default=frozenset())
    rows = [group <= each for each in sets]
    return wide.loc[rows, sorted(group)], half.loc[rows, sorted(group)], sorted(set(wide.columns) - group)


def ratios(wide, a, b):
    """Net -> the geometric mean of its cases' ratios."""
    return np.exp(np.log(wide[a] / wide[b]).groupby(level=NET).mean())


def widths(half, a, b):
    """Net -> the half width of the logarithm of its mean ratio."""
    squares = half[a] ** 2 + half[b] ** 2
    by_net = squares.groupby(level=NET)
    return np.sqrt(by_net.sum(min_count=1)).where(squares.isna().groupby(level=NET).sum() == 0) / by_net.size()


def relative(cases, mode, way):
    """The sentences of the first section."""
    wide, _, left = compared(cases, mode, way)
    systems = list(wide.columns)
    if not systems:
        return [f"Nothing of what is chosen was measured in {mode}."]
    if len(systems) == 1:
        found = [
            f"{systems[0]} shares no net with another system in {mode}, as it is chosen: what it does itself is below."
        ]
    else:
        logs = np.log(wide).groupby(level=NET).mean().mean()
        order = logs.sort_values(ascending=False).index
        gap = math.exp(logs[order[0]] - logs[order[1]])
        nets = len(wide.groupby(level=NET))
        found = [f"{order[0]} is the fastest in {mode}: {number(gap)} times {order[1]}, over the "
                  f"{counted(nets, 'net')} that all {len(systems)} have measured, at {WAYS[way]}."]  # fmt: skip
    if left:
        why = "in the same settings; try each machine's best setting" if way == "same" else "; choose other nets"
        found.append(f"Not among them: {', '.join(left)}: no net in common {why}.")
    return found + list(wider(cases, mode, way, wide)) + list(spreads(wide, nets=len(systems) > 1))


def wider(cases, mode, way, wide):
    found = {}
    for system in wide.columns if len(wide.columns) > 2 else ():
        others, _, _ = compared(cases[cases["system"] != system], mode, way)
        found[system] = len(others.groupby(level=NET)) if len(others.columns) == len(wide.columns) - 1 else 0
    best = max(found, key=found.get, default=None)
    if best and found[best] >= 3 * len(wide.groupby(level=NET)):
        yield (f"Without {best} the others share {counted(found[best], 'net')}: choose the others alone to compare "
               "them over these.")  # fmt: skip


def spreads(wide, nets):
    """Of more nets than bars can show: the ends and the middle of each system's ratios."""
    if not nets:
        return
    if len(wide.groupby(level=NET)) <= 16:
        yield "A bar opens its net."
        return
    base = np.log(wide).mean().idxmin() if "box" not in wide.columns else "box"
    for system in wide.columns.drop(base):
        own = ratios(wide, system, base)
        yield (f"{system}: from {name(own.idxmin())} {number(own.min())} to {name(own.idxmax())} {number(own.max())} "
               f"times, geometric mean {number(geometric(own))}.")  # fmt: skip


def best(cases, mode):
    """The sentence below the table of best settings."""
    rows = len(measured_nets(cases, mode).drop_duplicates([*NET, "system"]))
    if rows > 40:
        yield f"40 of {rows} rows; choose fewer nets for the others."


def compare(cases, mode, way, a, b):
    """The sentences of two systems."""
    pair = cases[cases["system"].isin([a, b])]
    wide, half, _ = compared(pair, mode, way)
    if len(wide.columns) < 2:
        hint = " in the same settings; try each machine's best setting" if way == "same" else ""
        return [f"{a} and {b} have no net in common here{hint}."]
    own, width = ratios(wide, a, b), widths(half, a, b)
    whole = math.sqrt((width**2).sum()) / len(width) if width.notna().all() else math.nan
    ends = f"; from {name(own.idxmin())} ({number(own.min())}) to {name(own.idxmax())} ({number(own.max())})"
    first = (f"{a} does {interval(geometric(own), whole)} times what {b} does in {mode}: more for {(own > 1).sum():,} "
             f"of {counted(len(own), 'net')}{ends if len(own) > 1 else ''}.")  # fmt: skip
    if len(own) <= 40:
        return [first]
    return [first, f"Half of the nets lie between {number(own.quantile(0.25))} and {number(own.quantile(0.75))}, the "
                   f"geometric mean is {number(geometric(own))}."]  # fmt: skip


def pairs(cases):
    """Pairs of undisturbed cases that differ in one setting alone."""
    calm = cases[(cases["kind"] == "net") & (cases["status"] == "measured") & (cases["noisy"].fillna("") == "")]
    calm = calm.assign(row=calm.index)
    keys = [*CASE, "threads", "device", "system"]
    found = []
    for axis in ("precision", "memory_format", "compile_mode", "threads", "cudnn_benchmark"):
        others = [key for key in keys if key != axis]
        base = calm[calm[axis] == BASES[axis]] if axis in BASES else calm.sort_values("threads").drop_duplicates(others)
        both = calm.merge(base[[*others, axis, "id", "median_seconds", "low_seconds", "high_seconds"]], on=others,
                          suffixes=("", "_base"))  # fmt: skip
        both = both[both[axis] != both[f"{axis}_base"]]
        found.append(both.assign(
            setting=axis.replace("_", " ") + " " + both[axis].astype(str),
            gain=both["median_seconds_base"] / both["median_seconds"],
            low=both["low_seconds_base"] / both["high_seconds"], high=both["high_seconds_base"] / both["low_seconds"],
        ))  # fmt: skip
    return pd.concat(found, ignore_index=True)


def settings(own, others=None):
    """The sentences on what each setting buys, of pairs of one mode; of `others` where none of a kind is chosen."""
    yield from gains_of(own, "")
    if others is not None:
        kinds = set(zip(own["setting"], own["system"], strict=True))
        rest = [kind not in kinds for kind in zip(others["setting"], others["system"], strict=True)]
        yield from gains_of(others[np.array(rest, bool)], ", of nets that are not chosen")


def gains_of(own, among):
    for (setting, system), rows in own.groupby(["setting", "system"]):
        subject = f"{setting} on {system}{among}"
        gains = rows.groupby(NET)["gain"].apply(geometric).sort_values(ascending=False)
        up, down = gains[gains > 1], gains[gains < 1][::-1]
        surely = ""
        if rows["low"].notna().any():
            surely = (f" {(rows['low'] > 1).sum()} of {counted(len(rows), 'pair')} surely faster, "
                      f"{(rows['high'] < 1).sum()} surely slower.")  # fmt: skip
        yield (f"{subject}: {number(geometric(gains))} times over {counted(len(gains), 'net')}; faster "
               f"for {len(up)}{listed(up)}; slower for {len(down)}{listed(down)}.{surely}")  # fmt: skip


def listed(gains):
    if not len(gains):
        return ""
    words = ", ".join(f"{name(net)} ({number(gain)})" for net, gain in gains[:3].items())
    return f": {words}" + (f" and {len(gains) - 3} more" if len(gains) > 3 else "")


def net(cases, own_pairs, mode, shown):
    """The sentences on one net."""
    of_net = cases[(cases["kind"] == "net") & (cases["mode"] == mode) & of(cases, shown)]
    own = of_net[of_net["status"] == "measured"]
    yield from panels(own, "images_per_second")
    yield from panels(own, "latency_seconds")
    gained = own_pairs[(own_pairs["mode"] == mode) & of(own_pairs, shown)]
    for (setting, system), rows in gained.groupby(["setting", "system"]):
        best = rows.loc[rows["gain"].idxmax()]
        over = (f"from {number(rows['gain'].min())} to {number(rows['gain'].max())} times over {len(rows)} pairs"
                if len(rows) > 1 else f"{number(best['gain'])} times")  # fmt: skip
        yield f"{setting} on {system}: {over}, most at batch {best['batch_size']}."
    yield from memory(of_net, own)
    yield from bounds(own)


def advice(cases, mode, shown):
    """The rows of the table of what to use."""
    own = measured_nets(cases, mode)
    for system, rows in own[of(own, shown)].groupby("system", sort=False):
        fast, quick = (
            rows.sort_values("speed", ascending=False),
            rows[rows["latency_seconds"].notna()].sort_values("latency_seconds"),
        )
        yield [system, "throughput", said(fast.iloc[0]), f"{number(fast['speed'].iloc[0])} images/s", sure(fast)]
        if len(quick):
            after = (f"next: {said(quick.iloc[1])}, {units.seconds(quick['latency_seconds'].iloc[1])}" if len(quick) > 1
                     else "the only one")  # fmt: skip
            yield [system, "latency", said(quick.iloc[0]), units.seconds(quick["latency_seconds"].iloc[0]), after]


def sure(fast):
    if len(fast) < 2:
        return "the only one measured"
    first, second = fast.iloc[0], fast.iloc[1]
    half = math.hypot(first["half"], second["half"])
    end = "; no interval" if math.isnan(half) else (
        ": sure" if math.log(first["speed"] / second["speed"]) > half else ": not sure, within its interval"
    )  # fmt: skip
    return f"{number(first['speed'] / second['speed'])} times the next, {said(second)}{end}"


def of(rows, shown):
    return (rows["architecture"] == shown[0]) & (rows["input_shape"] == shown[1])


def panels(own, column):
    """Of systems that measured each setting at one batch alone, and of settings that are too many."""
    there = own[own[column].notna()]
    if there.empty:
        return
    single = 0
    for _, rows in there.groupby("system"):
        several = len(set(rows["threads"])) > 1
        lines = rows.groupby(["precision", "memory_format", "compile_mode", *(["threads"] if several else [])])
        if lines.size().max() == 1:
            single += 1
        elif len(lines) > 8:
            yield f"The fastest 8 of {len(lines)} settings; choose settings for the others."
    if single and single < there["system"].nunique():
        yield f"{counted(single, 'system')} measured each setting at one batch alone: see the table above."


def memory(of_net, own):
    known = own[own["peak_bytes"].notna()]
    for (system, precision), rows in known.groupby(["system", "precision"]):
        most = rows["batch_size"].max()
        there = rows[rows["batch_size"] == most]["peak_bytes"]
        ends = list(dict.fromkeys([units.octets(there.min()), units.octets(there.max())]))
        yield f"{precision} on {system}: measured up to batch {most}, {' to '.join(ends)} there."
    gone = of_net[of_net["status"] == "out_of_memory"] if len(known) else of_net[:0]
    for _, row in gone[:3].iterrows():
        yield f"{row['system']} ran out of memory at batch {row['batch_size']}, {said(row)}."


def bounds(own):
    known = own[own["operator_intensity"].notna()]
    for system, rows in known.groupby("system"):
        best = rows.loc[rows["speed"].idxmax()]
        bound = best["bound"] if pd.notna(best["bound"]) else "bound unknown (no hardware run of this machine)"
        share = f", {100 * best['share_of_ceiling']:.0f}% of its roof" if pd.notna(best["share_of_ceiling"]) else ""
        yield f"{system} at {said(best)}: {bound}, {units.rate(best['flops_per_second'], 'FLOP/s')}{share}."


def trade_offs(cases):
    """Of figures that are drawn beforehand, each with the rows that must all be chosen for it to stand."""
    own = cases[(cases["kind"] == "net") & (cases["status"] == "measured")]
    if own["joules_per_image"].notna().any():
        least = own.loc[own["joules_per_image"].astype(float).idxmin()]
        yield (
            f"The least: {number(least['joules_per_image'])} J an image, {least['id']} on {least['machine']}.",
            own.index[own["joules_per_image"].notna()],
        )
    for column in ("latency_seconds", "dollars_per_million"):
        there = own[own[column].notna() & own["images_per_second"].notna()]
        if len(there) < 3:
            continue
        front = sum(unbeaten(rows, column) for _, rows in there.groupby([*NET, "mode"]))
        yield f"{front} of {len(there)} cases are beaten by no other of the same net and mode in both.", there.index
    in_pairs = pairs(cases)
    paid = in_pairs[
        (in_pairs["setting"].str.startswith("compile mode"))
        & (in_pairs["gain"] > 1)
        & in_pairs["compile_seconds"].notna()
    ]
    steps = (paid["compile_seconds"] / (paid["median_seconds_base"] - paid["median_seconds"])).astype(float)
    if len(paid):
        soonest = paid.loc[steps.idxmin()]
        yield f"Soonest: {soonest['id']} on {soonest['machine']}, after {number(steps.min())} steps.", paid["row"]
    yield from together(in_pairs)


def unbeaten(rows, column):
    cost, rate = rows[column].to_numpy(float), rows["images_per_second"].to_numpy(float)
    beaten = [((cost <= c) & (rate >= r) & ((cost < c) | (rate > r))).any() for c, r in zip(cost, rate, strict=True)]
    return len(rows) - sum(beaten)


def together(pairs):
    """Two settings one after the other, against the product of what each buys by itself."""
    steps = pairs[["system", "id_base", "id", "setting", "gain", "row"]]
    both = steps.merge(steps, left_on=["system", "id"], right_on=["system", "id_base"], suffixes=("", "_then"))
    both = both[both["setting"] < both["setting_then"]]
    alone = steps.rename(columns={"setting": "setting_then", "gain": "alone"})[
        ["system", "id_base", "setting_then", "alone"]
    ]
    both = both.merge(
        alone, left_on=["system", "id_base", "setting_then"], right_on=["system", "id_base", "setting_then"]
    )
    if both.empty:
        return
    expected, found = both["gain"] * both["alone"], both["gain"] * both["gain_then"]
    far = (found / expected).astype(float).idxmax()
    if found[far] > 1.1 * expected[far]:
        yield (f"Together more than apart, most in {both['id_then'][far]}: {number(found[far])} times where the two by "
               f"themselves make {number(expected[far])}."), both["row_then"]  # fmt: skip
