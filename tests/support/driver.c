/* A driver library for one GPU, as the real loader finds it: time passes with each reading of the energy counter.
   What is not here, an older driver would lack: pynvml then says "Function Not Found". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct { int unused; } *nvmlDevice_t;
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { MILLIWATTS = 250000, SECONDS_A_READING = 6 };

static struct { int unused; } gpu;
static unsigned long long millijoules = 1000000;
static int readings;

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { return SUCCESS; }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(nvmlReturn_t result) {
    return result == GPU_IS_LOST ? "GPU is lost" : result == NOT_SUPPORTED ? "Not Supported"
        : result == NO_PERMISSION ? "Insufficient Permissions" : "Not Found";
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

/* The power limit outlives the process that set it: it is in the file DRIVER_STATE, and who set it in .setter. */
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int *milliwatts) {
    const char *path = getenv("DRIVER_STATE");
    FILE *file = path == NULL ? NULL : fopen(path, "r");
    *milliwatts = 350000;
    if (file == NULL) return SUCCESS;
    if (fscanf(file, "%u", milliwatts) != 1) *milliwatts = 0;
    fclose(file);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceSetPowerManagementLimit(nvmlDevice_t device, unsigned int milliwatts) {
    const char *path = getenv("DRIVER_STATE");
    char temporary[4096], setter[4096];
    FILE *file;
    snprintf(setter, sizeof setter, "%s.refused", path == NULL ? "" : path);
    if (path == NULL || getenv("REFUSE_POWER_LIMIT") != NULL || access(setter, F_OK) == 0) return NO_PERMISSION;
    if (milliwatts < 100000 || milliwatts > 400000) return INVALID_ARGUMENT;
    snprintf(setter, sizeof setter, "%s.setter", path);
    file = fopen(setter, "w");
    fprintf(file, "%d", (int)getpid());
    fclose(file);
    snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
    file = fopen(temporary, "w");
    fprintf(file, "%u", milliwatts);
    fclose(file);
    return rename(temporary, path) == 0 ? SUCCESS : NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned int *milliwatts) {
    *milliwatts = 350000;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *least, unsigned int *most) {
    *least = 100000;
    *most = 400000;
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
