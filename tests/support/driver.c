/* A driver library for one GPU, as the real loader finds it: time passes with each reading of the energy counter.
   What is not here, an older driver would lack: pynvml then says "Function Not Found". */
#include <stdlib.h>
#include <string.h>

typedef int nvmlReturn_t;
typedef struct { int unused; } *nvmlDevice_t;
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { MILLIWATTS = 250000, SECONDS_A_READING = 6 };

static struct { int unused; } gpu;
static unsigned long long millijoules = 1000000;
static int readings;

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { return SUCCESS; }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == GPU_IS_LOST ? "GPU is lost" : result == NOT_SUPPORTED ? "Not Supported" : "Not Found";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    strncpy(version, "580.65.06", length);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    if (strcmp(uuid, "GPU-11111111-2222-3333-4444-555555555555") != 0) return NOT_FOUND;
    *device = (nvmlDevice_t)&gpu;
    return SUCCESS;
}

/* The GPU falls off the bus after as many power readings as LIVES in the environment says. */
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts) {
    const char *lives = getenv("LIVES");
    if (device != (nvmlDevice_t)&gpu) return INVALID_ARGUMENT;
    if (lives != NULL && readings++ >= atoi(lives)) return GPU_IS_LOST;
    *milliwatts = MILLIWATTS;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy) {
    if (device != (nvmlDevice_t)&gpu) return INVALID_ARGUMENT;
    *energy = millijoules;
    millijoules += (unsigned long long)MILLIWATTS * SECONDS_A_READING;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    return NOT_SUPPORTED;
}

typedef struct {
    unsigned int pid;
    unsigned long long used_bytes;
    unsigned int gpu_instance, compute_instance;
} process_t;

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, process_t *processes) {
    unsigned int room = *count;
    *count = 2;
    if (processes == NULL || room < 2) return INSUFFICIENT_SIZE;
    memset(processes, 0, 2 * sizeof *processes);
    processes[0].pid = 100;
    processes[1].pid = 7;
    return SUCCESS;
}
