"""A device that works behind its host, on virtual time: kernels take it, launches cost the host, memory is counted."""

import itertools

MS = 2**-10  # close to a millisecond, and exact in binary


class Device:
    """Works through a queue, behind the host: a launch costs the host time, a kernel the device.

    Kernel number n takes `kernels[n % len(kernels)]` seconds.
    """

    def __init__(self, host, launch, kernels):
        self.host, self.launch, self.kernels = host, launch, itertools.cycle(kernels)
        self.free = 0.0

    def step(self):
        self.host.time += self.launch
        self.free = max(self.free, self.host.time) + next(self.kernels)

    def synchronise(self):
        self.host.time = max(self.host.time, self.free)

    def event(self):
        return Event(self)


class Event:
    """Holds the device's time; read before the device got there, it is as wrong as the host's time then."""

    def __init__(self, device):
        self.device = device

    def record(self):
        self.at = max(self.device.free, self.device.host.time)

    def elapsed_time(self, other):
        now = self.device.host.time
        return (min(other.at, now) - min(self.at, now)) * 1e3


class Allocator:
    """Counts as torch's does: what is allocated, what is reserved of the device and kept, and both peaks."""

    def __init__(self):
        self.allocated = self.reserved = self.allocated_peak = self.reserved_peak = 0

    def allocate(self, octets):
        self.allocated += octets
        self.reserved = max(self.reserved, self.allocated)
        self.allocated_peak = max(self.allocated_peak, self.allocated)
        self.reserved_peak = max(self.reserved_peak, self.reserved)

    def free(self, octets):
        self.allocated -= octets

    def empty_cache(self):
        self.reserved = self.allocated

    def reset_peak_memory_stats(self, device):
        self.allocated_peak, self.reserved_peak = self.allocated, self.reserved

    def max_memory_allocated(self, device):
        return self.allocated_peak

    def max_memory_reserved(self, device):
        return self.reserved_peak
