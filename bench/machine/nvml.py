"""NVIDIA GPUs as their driver sees them, by pynvml. Every field has a value, or the reason why it has none.

Sources: NVML API reference; what each call means and where it misleads is in docs/method.md.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SLOWDOWNS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Bits of the clocks event reasons that mean: slower than it could be. The others (idle, display, ...) do not."""
SLOWDOWN_COUNTERS = {74: "power cap", 75: "thermal slowdown", 271: "power brake"}
"""Fields that count the nanoseconds so spent, since the driver was loaded."""
_POWER_INSTANT, _SCOPE_GPU = 186, 0


@dataclass(frozen=True)
class Reading:
    """A value, or why there is none."""

    value: Any = None
    reason: str = ""

    def map(self, convert: Callable[[Any], Any]) -> "Reading":
        """The same with its value converted; a reason stays."""
        return self if self.reason else Reading(convert(self.value))


def query(name: str, *arguments: Any, **named: Any) -> Reading:
    """Call pynvml's function `name`: by name, because an older binding may lack it as an older driver may."""
    import pynvml

    try:
        return Reading(getattr(pynvml, name)(*arguments, **named))
    except AttributeError:
        return Reading(reason=f"this pynvml has no {name}")
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:  # the second is none of the first
        return Reading(reason=f"{name}: {error}")


@functools.cache
def initialised() -> Reading:
    """Load the driver's library, once a process; the value is the driver's version."""
    ready = query("nvmlInit")
    return ready if ready.reason else query("nvmlSystemGetDriverVersion")


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        handle: of the whole GPU, also where the device is a slice of it.
        sliced: the device is a MIG slice: power, energy and clocks are the whole GPU's.
    """

    handle: Any
    sliced: bool = False

    def facts(self) -> dict[str, Reading]:
        """What stays the same during a sweep."""
        clock = functools.partial(self._hertz, "nvmlDeviceGetMaxClockInfo")
        return {
            "name": self._ask("nvmlDeviceGetName"),
            "driver": initialised(),
            "vbios": self._ask("nvmlDeviceGetVbiosVersion"),
            "power_limit_watts": self._ask("nvmlDeviceGetEnforcedPowerLimit").map(lambda milli: milli / 1e3),
            "default_power_limit_watts": self._ask("nvmlDeviceGetPowerManagementDefaultLimit").map(
                lambda milli: milli / 1e3
            ),
            "power_limit_range_watts": self._ask("nvmlDeviceGetPowerManagementLimitConstraints").map(
                lambda limits: [milli / 1e3 for milli in limits]
            ),
            "max_sm_clock_hertz": clock(1),
            "max_memory_clock_hertz": clock(2),
            "ecc": self._ask("nvmlDeviceGetEccMode").map(lambda modes: bool(modes[0])),
            "mig": self._ask("nvmlDeviceGetMigMode").map(lambda modes: bool(modes[0])),
            "persistence": self._ask("nvmlDeviceGetPersistenceMode").map(bool),
            "pcie_max_generation": self._ask("nvmlDeviceGetMaxPcieLinkGeneration"),
            "pcie_max_width": self._ask("nvmlDeviceGetMaxPcieLinkWidth"),
        }

    def settings(self) -> dict[str, Reading]:
        """What an administrator may have set, beside the facts; `dlhw doctor` advises on it."""
        return {
            "applications_sm_clock_hertz": self._hertz("nvmlDeviceGetApplicationsClock", 1),
            "ecc_pending": self._ask("nvmlDeviceGetEccMode").map(lambda modes: bool(modes[1])),
            "uncorrected_ecc_errors": self._ask("nvmlDeviceGetTotalEccErrors", 1, 0),
        }

    def state(self) -> dict[str, Reading]:
        """What changes from moment to moment."""
        utilisation = self._ask("nvmlDeviceGetUtilizationRates")
        return {
            "power_watts": self._power(),
            "sm_clock_hertz": self._hertz("nvmlDeviceGetClockInfo", 1),
            "memory_clock_hertz": self._hertz("nvmlDeviceGetClockInfo", 2),
            "temperature_celsius": self._temperature(),
            "utilisation": utilisation.map(lambda rates: rates.gpu / 100),
            "memory_used_bytes": self._memory(),
            "slowdowns": self._slowdowns(),
            "pcie_generation": self._ask("nvmlDeviceGetCurrPcieLinkGeneration"),
            "pcie_width": self._ask("nvmlDeviceGetCurrPcieLinkWidth"),
        }

    def counters(self) -> dict[str, Reading]:
        """What only ever grows, unless the driver is reset."""
        names = {name: self._field(number).map(lambda ns: ns / 1e9)
                 for number, name in SLOWDOWN_COUNTERS.items()}  # fmt: skip
        energy = self._ask("nvmlDeviceGetTotalEnergyConsumption").map(lambda milli: milli / 1e3)
        errors = self._ask("nvmlDeviceGetTotalEccErrors", 1, 0)  # uncorrected, since the last reset
        return {"energy_joules": energy, "uncorrected_ecc_errors": errors, **names}

    def power_limit(self) -> Reading:
        """In watts, as it was set; others of the machine's limits may be lower."""
        return self._ask("nvmlDeviceGetPowerManagementLimit").map(lambda milli: milli / 1e3)

    def set_power_limit(self, watts: float) -> Reading:
        """For everyone, until the driver is unloaded; root's right. Without a value."""
        return self._ask("nvmlDeviceSetPowerManagementLimit", round(watts * 1e3))

    def processes(self) -> Reading:
        """Ids of the processes that compute on it: the host's ids, even inside a container."""
        return self._ask("nvmlDeviceGetComputeRunningProcesses").map(lambda found: [process.pid for process in found])

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Reading:
        return query(name, self.handle, *arguments, **named)

    def _hertz(self, name: str, kind: int) -> Reading:
        return self._ask(name, kind).map(lambda mega: mega * 1_000_000)

    def _power(self) -> Reading:
        """At this instant; where the driver does not tell, its own figure, an average over a second on most GPUs."""
        instant = self._field(_POWER_INSTANT, _SCOPE_GPU)
        power = self._ask("nvmlDeviceGetPowerUsage") if instant.reason else instant
        return power.map(lambda milli: milli / 1e3)

    def _temperature(self) -> Reading:
        newer = self._ask("nvmlDeviceGetTemperatureV", 0)
        return self._ask("nvmlDeviceGetTemperature", 0) if newer.reason else newer

    def _memory(self) -> Reading:
        import pynvml

        newer = self._ask("nvmlDeviceGetMemoryInfo", version=getattr(pynvml, "nvmlMemory_v2", None))
        return (self._ask("nvmlDeviceGetMemoryInfo") if newer.reason else newer).map(lambda memory: memory.used)

    def _slowdowns(self) -> Reading:
        newer = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons") if newer.reason else newer
        return bits.map(lambda mask: [name for bit, name in SLOWDOWNS.items() if mask & bit])

    def _field(self, number: int, scope: int = 0) -> Reading:
        """A field's value: the call succeeds even where the field itself has failed."""
        import pynvml

        found = self._ask("nvmlDeviceGetFieldValues", [(number, scope)])
        if found.reason:
            return found
        field = found.value[0]
        if field.nvmlReturn != pynvml.NVML_SUCCESS:
            return Reading(reason=f"field {number}: {pynvml.NVMLError(field.nvmlReturn)}")
        names = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal"}
        name = names.get(field.valueType)
        if name is None:
            return Reading(reason=f"field {number}: a value of unknown type {field.valueType}")
        return Reading(getattr(field.value, name))


def gpu_of(uuid: str) -> Reading:
    """The `Gpu` that torch knows by `uuid`; never by index, which CUDA and NVML count differently.

    torch does not say whether the uuid is a GPU's or a MIG slice's: the driver knows only one of the two.
    """
    ready = initialised()
    if ready.reason:
        return ready
    bare = uuid.removeprefix("GPU-").removeprefix("MIG-")
    whole = query("nvmlDeviceGetHandleByUUID", f"GPU-{bare}")
    if not whole.reason:
        return whole.map(Gpu)
    piece = query("nvmlDeviceGetHandleByUUID", f"MIG-{bare}")
    if piece.reason:
        return whole
    return query("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", piece.value).map(lambda gpu: Gpu(gpu, sliced=True))


def split(readings: Mapping[str, Reading]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values by name, and reasons by name."""
    values = {name: reading.value for name, reading in readings.items() if not reading.reason}
    return values, {name: reading.reason for name, reading in readings.items() if reading.reason}
