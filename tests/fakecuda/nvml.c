// NVML in name only: as many devices as FAKECUDA_DEVICES says.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define API __attribute__((visibility("default")))

API int nvmlInit_v2(void) {
  return 0;
}

API int nvmlInitWithFlags(unsigned f) {
  return 0;
}

API int nvmlShutdown(void) {
  return 0;
}

API int nvmlDeviceGetCount_v2(unsigned* n) {
  const char* v = getenv("FAKECUDA_DEVICES");
  *n = v ? atoi(v) : 1;
  return 0;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned i, void** h) {
  *h = (void*)(long)(i + 1);
  return 0;
}

API int nvmlDeviceGetName(void* h, char* b, unsigned n) {
  const char* v = getenv("FAKECUDA_NAME");
  strncpy(b, v ? v : "NVIDIA A100-SXM4-80GB", n);
  return 0;
}

API int nvmlDeviceGetUUID(void* h, char* b, unsigned n) {
  snprintf(b, n, "GPU-00000000-0000-0000-0000-%012ld", (long)h);
  return 0;
}

API const char* nvmlErrorString(int e) {
  return "fake";
}

API int nvmlSystemGetDriverVersion(char* b, unsigned n) {
  strncpy(b, "580.65", n);
  return 0;
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char* b, void** h) {
  *h = (void*)1;
  return 0;
}

API int nvmlDeviceGetComputeRunningProcesses(void* h, unsigned* n, void* i) {
  *n = 0;
  return 0;
}

API int nvmlDeviceGetComputeRunningProcesses_v3(void* h, unsigned* n, void* i) {
  *n = 0;
  return 0;
}

API int nvmlDeviceGetNvLinkRemoteDeviceType(void* h, unsigned l, int* t) {
  return 3;
}

API int nvmlDeviceGetNvLinkRemotePciInfo_v2(void* h, unsigned l, void* t) {
  return 3;
}

API int nvmlSystemGetCudaDriverVersion_v2(int* v) {
  *v = 13000;
  return 0;
}

API int nvmlDeviceGetGpuFabricInfoV(void* h, void* v) {
  return 3;
}

API int nvmlDeviceGetIndex(void* h, unsigned* i) {
  *i = (unsigned)((long)h - 1);
  return 0;
}

API int nvmlDeviceGetPciInfo_v3(void* h, void* v) {
  return 3;
}

API int nvmlDeviceGetCudaComputeCapability(void* h, int* a, int* b) {
  *a = 8;
  *b = 0;
  return 0;
}

API int nvmlDeviceGetMemoryInfo(void* h, void* v) {
  return 3;
}

API int nvmlDeviceGetMigMode(void* h, unsigned* a, unsigned* b) {
  *a = *b = 0;
  return 0;
}
