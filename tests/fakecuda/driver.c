// libcuda in name only: what torch looks up of the driver.
#define API __attribute__((visibility("default")))
#define NOTHING(n) \
  API int n() {    \
    return 0;      \
  }

API int cuDevicePrimaryCtxGetState(int d, unsigned* f, int* active) {
  *f = 0;
  *active = 1;
  return 0;
}

API int cuCtxGetCurrent(void** c) {
  *c = (void*)1;
  return 0;
}

API int cuDeviceGet(int* d, int o) {
  *d = o;
  return 0;
}

API int cuDeviceGetAttribute(int* v, int a, int d) {
  *v = 1;
  return 0;
}

API int cuDevicePrimaryCtxRetain(void** c, int d) {
  *c = (void*)1;
  return 0;
}

API int cuGetErrorString(int e, const char** s) {
  *s = "fake";
  return 0;
}

API int cuPointerGetAttribute(void* v, int a, unsigned long p) {
  *(int*)v = 0;
  return 0;
}

NOTHING(cuInit);
NOTHING(cuCtxSetCurrent);
NOTHING(cuFuncGetAttribute);
NOTHING(cuFuncSetAttribute);
NOTHING(cuFuncSetCacheConfig);
NOTHING(cuLaunchCooperativeKernel);
NOTHING(cuLaunchKernel);
NOTHING(cuLinkAddData_v2);
NOTHING(cuLinkComplete);
NOTHING(cuLinkCreate_v2);
NOTHING(cuModuleGetFunction);
NOTHING(cuModuleLoad);
NOTHING(cuModuleLoadData);
NOTHING(cuModuleLoadDataEx);
NOTHING(cuModuleUnload);
NOTHING(cuOccupancyMaxActiveBlocksPerMultiprocessor);
NOTHING(cuTensorMapEncodeTiled);
