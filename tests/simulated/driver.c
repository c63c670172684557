/* The driver's library for simulated devices, as the real loader finds it: what they use follows from what they do,
   which they tell in the file DLHW_SIM_ACTIVITY. It counts them from the last to the first, as a driver may. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct { double busy, slowed, ends, now; } activity; /* as in device.cpp */
typedef volatile activity *nvmlDevice_t;
enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6 };
enum { THERMAL_SLOWDOWN = 0x20, FIELD_THERMAL = 75, UNSIGNED_LONG_LONG = 3 };
static const double IDLE_WATTS = 50, MOST_WATTS = 300;

static activity *activities;
static unsigned int count;
static double began;

/* The host's clock; the simulation's where that is the host's, too. */
static double now(void) {
    struct timespec at;
    if (count > 0 && activities->now > 0) return activities->now;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec * 1e-9;
}

/* Of all work that is queued, what is not done yet. */
static double left(nvmlDevice_t device, double at) { return device->ends > at ? device->ends - at : 0; }

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) {
    struct stat found;
    int file = open(getenv("DLHW_SIM_ACTIVITY"), O_RDONLY);
    if (file < 0 || fstat(file, &found) != 0) return NOT_FOUND;
    count = found.st_size / sizeof(activity);
    activities = mmap(NULL, found.st_size, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (activities == MAP_FAILED) return NOT_FOUND;
    began = now();
    return SUCCESS;
}

nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t result) { return result == NOT_SUPPORTED ? "Not Supported" : "Not Found"; }

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    strncpy(version, "580.65.06", length);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    unsigned int index;
    if (sscanf(uuid, "GPU-%8x-0000-0000-0000-000000000000", &index) != 1 || index >= count) return NOT_FOUND;
    *device = activities + index;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (index >= count) return NOT_FOUND;
    *device = activities + (count - 1 - index);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts) {
    *milliwatts = 1e3 * (left(device, now()) > 0 ? MOST_WATTS : IDLE_WATTS);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules) {
    double at = now(), busy = device->busy - left(device, at);
    *millijoules = 1e3 * (IDLE_WATTS * (at - began) + (MOST_WATTS - IDLE_WATTS) * busy);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
    *reasons = left(device, now()) > 0 && device->slowed > 0 ? THERMAL_SLOWDOWN : 0;
    return SUCCESS;
}

/* nvmlFieldValue_t of nvml.h */
typedef struct {
    unsigned int id, scope;
    long long timestamp, latency;
    unsigned int type;
    nvmlReturn_t result;
    unsigned long long value;
} field;

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int size, field *fields) {
    for (int at = 0; at < size; ++at) {
        double slowed = device->slowed - left(device, now());
        fields[at].result = fields[at].id == FIELD_THERMAL ? SUCCESS : NOT_SUPPORTED;
        fields[at].type = UNSIGNED_LONG_LONG;
        fields[at].value = slowed > 0 ? 1e9 * slowed : 0;
    }
    return SUCCESS;
}
