"""A sentence for each operation, from figures that are known."""

from dataclasses import replace

import pytest

from bench.records import findings as module
from bench.records.findings import findings
from suites.micro import OPERATIONS, Micro
from tests.support.samples import LENET, ended, measured, micro

CACHES = {"caches": [{"level": 1, "bytes": 32768}, {"level": 2, "bytes": 2**20}]}
RATE = {"metric": "bytes_per_second"}
TIME = {"metric": "seconds"}
IMAGES = {"metric": "images_per_second"}
STEPS = {"metric": "steps"}


def said(*records, host=None):
    """The sentences, each with its subject."""
    return [f"{finding.subject}: {finding.text}" for finding in findings(records, host or {})]


def test_every_operation_has_a_sentence():
    assert set(module.ANSWERS) == set(OPERATIONS)


def test_latencies_are_plateaus_beside_the_caches_that_are_reported():
    chase = [(2**14, 1e-9), (2**15, 1e-9), (2**16, 4e-9), (2**17, 4e-9), (2**25, 1e-7)]
    records = [micro(f"memory_latency-chase-{size}-fp32-cpu-t1", value, **TIME) for size, value in chase]
    gather = micro("memory_latency-gather-64-fp32-cpu-t1", 1e-9, **TIME)
    assert said(*records, gather, host=CACHES) == [
        "memory_latency cpu: a dependent read takes 1.00 ns up to 32.0 KiB, 4.00 ns up to 128 KiB, 100 ns beyond "
        "(the system reports L1 32.0 KiB, L2 1.00 MiB)"
    ]
    assert said(gather) == []


def test_strides():
    records = [
        micro("stride-step-1-fp32-cpu-t1", 1e-10, **TIME), micro("stride-step-64-fp32-cpu-t1", 1e-9, **TIME),
        micro("stride-rows-64-fp32-cpu-t1", 1e-9, **TIME), micro("stride-columns-64-fp32-cpu-t1", 6e-9, **TIME),
    ]  # fmt: skip
    assert said(*records) == [
        "stride cpu: every 64th number costs 10.0 times [10.0, 10.0] what the next one does (1.00 ns and 0.100 ns); "
        "a matrix read by columns takes 6.00 times [6.00, 6.00] the time of one read by rows"
    ]
    assert said(*records[:1]) == []


@pytest.mark.parametrize("operation", ["copy", "triad"])
def test_bandwidth_is_of_the_part_that_dispatch_does_not_hide(operation):
    curve = [(2**12, 1e9), (2**14, 60e9), (2**16, 80e9), (2**18, 80e9), (2**26, 20e9)]
    records = [micro(f"{operation}-{size}-fp32-cpu-t{t}", t * v, **RATE) for size, v in curve for t in (1, 2)]
    assert said(*records, host=CACHES) == [
        f"{operation} cpu: by the size of an array, 1 thread: 72.7 GB/s up to 256 KiB, 20.0 GB/s beyond; "
        "2 threads: 145 GB/s up to 256 KiB, 40.0 GB/s beyond (the system reports L1 32.0 KiB, L2 1.00 MiB)"
    ]


def test_an_accelerator_has_none_of_the_hosts_caches():
    assert said(micro("copy-64-fp32-cuda:0-t1", 1e12, **RATE), host=CACHES) == [
        "copy cuda:0: by the size of an array, 1 thread: 1.00 TB/s at all sizes"
    ]


def test_more_threads():
    records = [
        micro("threads-matmul-64-fp32-cpu-t1", 100e9), micro("threads-matmul-64-fp32-cpu-t4", 360e9),
        micro("threads-copy-64-fp32-cpu-t1", 10e9, **RATE),
        micro("threads-copy-64-fp32-cpu-t4", 11e9, spread=0.25, **RATE),
    ]  # fmt: skip
    assert said(*records) == [
        "threads cpu: 4 threads make a matmul 3.60 times [3.60, 3.60] as fast as one; "
        "4 threads make a copy 1.10 times [0.880, 1.47], which may be noise, as fast as one"
    ]
    assert said(records[1], records[3]) == []


def test_dispatch_has_a_floor_and_a_half_way():
    curve = [(1, 1e-6), (16, 1e-6), (64, 1e-6), (1000, 1.5e-6), (4000, 3e-6)]
    records = [micro(f"dispatch-{size}-fp32-cpu-t1", value, **TIME) for size, value in curve]
    assert said(*records) == [
        "dispatch cpu: 1 thread: an operation costs 1.00 us beside its work, as long as the work on 1,778 elements"
    ]
    assert said(*records[:2]) == ["dispatch cpu: 1 thread: an operation costs 1.00 us beside its work"]


def test_a_loop_against_a_vector():
    loop, vector = (
        micro(f"vectorised-{v}-64-fp32-cpu-t1", value, **TIME) for v, value in (("loop", 4e-6), ("vector", 2e-10))
    )
    assert said(loop, vector) == [
        "vectorised cpu: an element costs 20,000 times [20,000, 20,000] as much in a Python loop as in one operation"
    ]
    assert said(loop) == []


def test_the_best_rate_of_each_precision_with_all_threads():
    records = [
        micro("matmul-64x64x64-fp32-cpu-t2", 100e9), micro("matmul-64x128x64-fp32-cpu-t2", 120e9),
        micro("matmul-64x64x64-bf16-cpu-t2", 400e9), micro("matmul-64x64x64-fp32-cpu-t1", 900e9),
        micro("convolution-k3_channels_last-4x64x56-fp32-cpu-t2", 150e9),
    ]  # fmt: skip
    assert said(*records) == [
        "matmul cpu: at best fp32 120 GFLOP/s (64x128x64), bf16 400 GFLOP/s (64x64x64), 2 threads",
        "convolution cpu: at best fp32 150 GFLOP/s (4x64x56 k3_channels_last), 2 threads",
    ]


def test_alignment_is_certain_where_it_beats_all_others():
    fast = [micro(f"alignment-matmul-{n}-fp32-cpu-t2", 1e9 * v) for n, v in ((63, 100), (64, 150), (65, 120))]
    slow = [micro(f"alignment-matmul-{n}-bf16-cpu-t2", 1e9 * v) for n, v in ((63, 100), (64, 110), (65, 120))]
    assert said(*fast, *slow) == [
        "alignment cpu: multiples of 8 are so much faster than the sizes around them: "
        "matmul fp32 1.36 times [1.25, 1.50]; matmul bf16 1.00 times [0.917, 1.10], which may be noise"
    ]
    assert said(*fast[:2]) == []


def test_fusion_is_of_the_longest_chain_that_both_have():
    records = [
        micro("fusion-eager-1x64-fp32-cpu-t2", 1e-6, **TIME), micro("fusion-eager-8x64-fp32-cpu-t2", 9e-6, **TIME),
        micro("fusion-compiled-8x64-fp32-cpu-t2", 3e-6, **TIME), micro("fusion-eager-16x64-fp32-cpu-t2", 1.0, **TIME),
    ]  # fmt: skip
    assert said(*records) == [
        "fusion cpu: 8 operations in one kernel are 3.00 times [3.00, 3.00] as fast as one by one"
    ]
    assert said(records[0]) == []


def test_transfers_have_a_bandwidth_and_a_least_time():
    records = [
        micro(f"transfer-{v}-{size}-fp32-cuda:0-t1", rate, **RATE)
        for v, top in (("h2d_pageable", 6e9), ("h2d_pinned", 25e9))
        for size, rate in ((4, 4e5), (2**30, top))
    ]
    assert said(*records) == [
        "transfer cuda:0: h2d pageable 6.00 GB/s, 4 B in 10.0 us; h2d pinned 25.0 GB/s, 4 B in 10.0 us"
    ]


def test_launches():
    enqueue = micro("launch-enqueue-1-fp32-cuda:0-t1", 4e-6, **TIME)
    wait = micro("launch-synchronise-1-fp32-cuda:0-t1", 11e-6, **TIME)
    assert said(enqueue, wait) == [
        "launch cuda:0: a launch costs the host 4.00 us; with the wait for its end it takes 11.0 us"
    ]
    assert said(enqueue) == []


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (90e-6, "the host waits once about 1024 are in the queue; a launch costs it 4.00 us before"),
        (5e-6, "the host ran 1024 launches ahead without waiting; a launch costs it 4.00 us before"),
    ],
)
def test_a_queue_is_full_or_not(last, text):
    curve = [(1, 6e-6), (256, 4e-6), (1024, last)]
    assert said(*[micro(f"queue-{n}-fp32-cuda:0-t1", value, **TIME) for n, value in curve]) == [f"queue cuda:0: {text}"]


def test_how_much_a_queue_holds_is_told_by_the_launches_that_waited():
    """Kernels of 100 us behind launches of 4: a queue of 1000 lets 2048 launches take as long as 1048 kernels."""
    curve = [(256, 4e-6), (1024, 6.3e-6), (2048, 1048e-4 / 2048), (4096, 3096e-4 / 4096)]
    (found,) = findings([micro(f"queue-{n}-fp32-cuda:0-t1", value, **TIME) for n, value in curve], {})
    assert found.figures["launches"] == 1000


def test_what_overlaps_is_hidden():
    times = {"compute": 3e-3, "copy": 2e-3, "both": 3.5e-3}
    records = [micro(f"overlap-{v}-64-fp32-cuda:0-t1", value, **TIME) for v, value in times.items()]
    assert said(*records) == [
        "overlap cuda:0: 75.0% of the shorter of the two is hidden: computing 3.00 ms, copying 2.00 ms, both 3.50 ms"
    ]
    assert said(*records[:2]) == []


def test_two_products_at_once_stand_beside_one():
    times = {"compute": 3e-3, "products": 6.1e-3}
    records = [micro(f"overlap-{v}-512x64-fp32-cuda:0-t1", value, **TIME) for v, value in times.items()]
    assert said(*records) == ["overlap cuda:0: two products at once take 6.10 ms, one 3.00 ms"]
    other = micro("overlap-products-256x64-fp32-cuda:0-t1", 1e-3, **TIME)
    assert said(records[0], other) == []  # of another side: nothing to compare with


def test_a_cache_is_worth_most_at_some_size():
    rates = {("warm", 4096): 2e9, ("flushed", 4096): 1e9, ("warm", 65536): 8e9, ("flushed", 65536): 2e9}
    records = [micro(f"cache-{v}-{n}-fp32-cuda:0-t1", rate, **RATE) for (v, n), rate in rates.items()]
    (text,) = said(*records)
    assert text.startswith("cache cuda:0: 64.0 KiB that lie in the cache are read 4.00 times")
    assert text.endswith("as fast as after it was flushed (8.00 GB/s, 2.00 GB/s)")
    assert said(records[0], records[3]) == []


def test_all_reduce_has_a_best_and_a_least():
    records = [
        micro("all_reduce-2x4096-fp32-cpu-t1", 4096e3, **RATE), micro("all_reduce-2x1048576-fp32-cpu-t1", 1e9, **RATE),
    ]  # fmt: skip
    assert said(*records) == [
        "all_reduce cpu: 2 processes add up 1.00 MiB at 1.00 GB/s of bus bandwidth; 4.00 KiB take 1.00 ms"
    ]


def test_scaling_has_an_efficiency():
    alone, both, four = (
        micro(f"scaling-resnet18-{k}x16-fp32-cpu-t1", rate, **IMAGES) for k, rate in ((1, 40), (2, 60), (4, 80))
    )
    found = findings([alone, both, four], {})
    assert [finding.text for finding in found] == [
        "2 processes train resnet18 1.50 times [1.50, 1.50] as fast as one, efficiency 75.0%; "
        "4 processes train resnet18 2.00 times [2.00, 2.00] as fast as one, efficiency 50.0%"
    ]
    assert found[0].figures["resnet18 2"]["value"] == pytest.approx(0.75)
    assert said(both) == []


def lenet(rate, mode="inference", spread=0.0):
    step = 8 / rate
    return measured(replace(LENET, mode=mode), tuple(step * (1 + spread * n) for n in (-1, -1, -1, 0, 1, 1, 1)))


def test_a_net_starves_where_it_certainly_eats_more_than_the_best_loader_gives():
    loaders = [micro(f"loader-own28-{w}x128-fp32-cpu-t1", rate, **IMAGES) for w, rate in ((0, 9000), (2, 20000))]
    assert said(*loaders) == ["loader cpu: 28 px 20,000 img/s with 2 workers"]
    assert said(*loaders, lenet(50000), lenet(15000, "training")) == [
        "loader cpu: 28 px 20,000 img/s with 2 workers: starves 1 of 2 cases, most lenet inference fp32, "
        "which eats 50,000 img/s"
    ]
    for calm in (lenet(15000), lenet(21000, spread=0.2)):
        assert said(*loaders, calm) == [
            "loader cpu: 28 px 20,000 img/s with 2 workers: enough for all 1 cases of that size, as far as can be told"
        ]


def test_steps_have_a_median_and_a_range_of_seeds():
    records = [
        micro(f"convergence-lenet-{seed}-fp32-cpu-t2", steps, **STEPS) for seed, steps in ((1, 300), (2, 500), (3, 310))
    ]
    assert said(*records) == ["convergence cpu: lenet reaches the loss in 310 steps (3 seeds: 300 to 500)"]


def test_what_was_not_measured_says_nothing():
    skipped = ended("skipped", "no compiler", Micro.parse("memory_latency-chase-64-fp32-cpu-t1"))
    assert said(skipped, measured()) == []


def test_sentences_come_in_the_order_of_the_table_and_know_their_question():
    found = findings([micro("matmul-8x8x8-fp32-cpu-t1", 1e9), micro("copy-64-fp32-cpu-t1", 1e9, **RATE)], {})
    assert [finding.operation for finding in found] == ["copy", "matmul"]
    assert found[0].question == OPERATIONS["copy"].question
