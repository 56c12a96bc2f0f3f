// libcudart in name only, loaded before the real one: a device's memory is host memory, kernels do
// nothing, and launches, copies and synchronisations are counted. Variables: see README.md.
#define _GNU_SOURCE
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define API __attribute__((visibility("default")))

static long number_of(const char* n, long d) {
  const char* v = getenv(n);
  return v ? atol(v) : d;
}

// A GPU that fell off its bus: whatever is asked of it from then on fails.
static cudaError_t lost(void) {
  return getenv("FAKECUDA_LOST") ? cudaErrorUnknown : cudaSuccess;
}

static int devices_there(void) {
  return (int)number_of("FAKECUDA_DEVICES", 1);
}

// ---- which devices are visible
static int visible(int* ids) {
  int n = devices_there(), k = 0;
  const char* v = getenv("CUDA_VISIBLE_DEVICES");
  if (!v) {
    for (int i = 0; i < n; i++) ids[k++] = i;
    return k;
  }
  char b[256];
  strncpy(b, v, 255);
  b[255] = 0;
  char* s = NULL;
  for (char* t = strtok_r(b, ",", &s); t; t = strtok_r(NULL, ",", &s)) {
    char* e;
    long i = strtol(t, &e, 10);
    if (e == t || i < 0 || i >= n) break;
    ids[k++] = (int)i;
  }
  return k;
}

static __thread int current = 0;

static int device_of(int d) {
  int ids[64];
  int n = visible(ids);
  return d < n ? ids[d] : 0;
}

// ---- memory of each device, shared by all processes
typedef struct {
  volatile int pid;
  volatile int dev;
  volatile long bytes;
} Slot;

static Slot* slots;

enum { MOST_SLOTS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void open_slots(void) {
  if (slots) return;
  const char* f = getenv("FAKECUDA_STATE");
  if (!f) f = "/dev/shm/fakecuda-state";
  int fd = open(f, O_RDWR | O_CREAT, 0666);
  if (ftruncate(fd, MOST_SLOTS * sizeof(Slot))) {
  }
  slots = mmap(0, MOST_SLOTS * sizeof(Slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
}

static Slot* own_slot(int dev) {
  open_slots();
  int me = getpid();
  for (int i = 0; i < MOST_SLOTS; i++)
    if (slots[i].pid == me && slots[i].dev == dev) return &slots[i];
  for (int i = 0; i < MOST_SLOTS; i++) {
    int p = slots[i].pid;
    if (!p || (kill(p, 0) && errno == ESRCH)) {
      if (__sync_bool_compare_and_swap(&slots[i].pid, p, me)) {
        slots[i].dev = dev;
        slots[i].bytes = number_of("FAKECUDA_CONTEXT", 450L << 20);
        return &slots[i];
      }
    }
  }
  return NULL;
}

static long used_bytes(int dev) {
  open_slots();
  long s = 0;
  for (int i = 0; i < MOST_SLOTS; i++) {
    int p = slots[i].pid;
    if (p && slots[i].dev == dev && !(kill(p, 0) && errno == ESRCH)) s += slots[i].bytes;
  }
  return s;
}

static long total_bytes(void) {
  return number_of("FAKECUDA_TOTAL", 16L << 30);
}

typedef struct Block {
  char* p;
  size_t n;
  int dev, host;
  struct Block* next;
} Block;

static Block* blocks;

static Block* block_at(const void* q) {
  for (Block* b = blocks; b; b = b->next)
    if ((char*)q >= b->p && (char*)q < b->p + b->n) return b;
  return NULL;
}

// ---- counts
enum { MOST_KERNELS = 1 << 19 };

static struct {
  const void* f;
  const char* n;
} kernels[MOST_KERNELS];

static int n_kernels;
static int sorted;

typedef struct {
  const char* name;
  long n;
} Count;

static Count counts[8192];
static int n_counts;
static long launches, syncs, copies_back, memsets, copies, pinned;
static size_t pinned_bytes;

static int by_address(const void* a, const void* b) {
  const char *x = *(const char**)a, *y = *(const char**)b;
  return x < y ? -1 : x > y;
}

static void count_one(const char* n) {
  pthread_mutex_lock(&lock);
  int i;
  for (i = 0; i < n_counts; i++)
    if (counts[i].name == n || !strcmp(counts[i].name, n)) break;
  if (i == n_counts && n_counts < 8192) counts[n_counts++].name = n;
  if (i < 8192) counts[i].n++;
  pthread_mutex_unlock(&lock);
}

// A stream that is captured is asked for nothing: what it would do is done by cudaGraphLaunch.
static cudaStream_t captured_stream;
static int is_capturing, is_invalid;
static unsigned long long n_captures;

static void count_launch(const void* f) {
  if (is_capturing) return;
  __sync_fetch_and_add(&launches, 1);
  pthread_mutex_lock(&lock);
  if (sorted != n_kernels) {
    qsort(kernels, n_kernels, sizeof kernels[0], by_address);
    sorted = n_kernels;
  }
  pthread_mutex_unlock(&lock);
  int lo = 0, hi = n_kernels - 1;
  const char* n = "?";
  while (lo <= hi) {
    int m = (lo + hi) / 2;
    if (kernels[m].f == f) {
      n = kernels[m].n;
      break;
    }
    if (kernels[m].f < f)
      lo = m + 1;
    else
      hi = m - 1;
  }
  count_one(n);
}

API long fakecuda_count(int what) {
  long v[] = {launches, syncs, copies_back, memsets, copies, pinned, (long)pinned_bytes};
  return v[what];
}

API void fakecuda_reset(void) {
  launches = syncs = copies_back = memsets = copies = 0;
  n_counts = 0;
  memset(counts, 0, sizeof counts);
}

API void fakecuda_dump(const char* path) {
  FILE* o = fopen(path, "w");
  for (int i = 0; i < n_counts; i++) fprintf(o, "%ld\t%s\n", counts[i].n, counts[i].name);
  fclose(o);
}

API long fakecuda_used(int dev) {
  return used_bytes(dev);
}

// ---- registration
API void** __cudaRegisterFatBinary(void* b) {
  static void* h[4];
  return h;
}

API void __cudaRegisterFatBinaryEnd(void** h) {}

API void __cudaUnregisterFatBinary(void** h) {}

API void __cudaRegisterFunction(void** h, const char* host, char* dev, const char* name, int tl,
                                void* a, void* b, void* c, void* d, int* w) {
  if (n_kernels < MOST_KERNELS) {
    kernels[n_kernels].f = host;
    kernels[n_kernels].n = name;
    n_kernels++;
  }
}

API void __cudaRegisterVar(void** h, char* a, char* b, const char* n, int e, size_t s, int c,
                           int g) {}

static __thread struct {
  dim3 g, b;
  size_t s;
  void* st;
} launch_configuration;

API unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t s, void* st) {
  launch_configuration.g = g;
  launch_configuration.b = b;
  launch_configuration.s = s;
  launch_configuration.st = st;
  return 0;
}

API cudaError_t __cudaPopCallConfiguration(dim3* g, dim3* b, size_t* s, void* st) {
  *g = launch_configuration.g;
  *b = launch_configuration.b;
  *s = launch_configuration.s;
  *(void**)st = launch_configuration.st;
  return 0;
}

API cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) {
  *k = (cudaKernel_t)f;
  return 0;
}

API cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void** a, size_t s,
                                   cudaStream_t st) {
  count_launch(k);
  return 0;
}

API cudaError_t cudaLaunchKernel(const void* f, dim3 g, dim3 b, void** a, size_t s,
                                 cudaStream_t st) {
  count_launch(f);
  return 0;
}

API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* f, void** a) {
  count_launch(f);
  return 0;
}

API cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes* a, const void* f) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024;
  a->numRegs = 32;
  a->binaryVersion = a->ptxVersion = 80;
  a->maxDynamicSharedSizeBytes = 48 << 10;
  return 0;
}

API cudaError_t cudaFuncSetAttribute(const void* f, enum cudaFuncAttribute a, int v) {
  return 0;
}

API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void* f, int b,
                                                                       size_t s, unsigned fl) {
  *n = 4;
  return 0;
}

// ---- devices
API cudaError_t cudaGetDeviceCount(int* n) {
  int ids[64];
  if (number_of("FAKECUDA_DRIVER", 13000) < 13000) {
    *n = 0;
    return cudaErrorInsufficientDriver;
  }
  *n = visible(ids);
  return *n ? 0 : cudaErrorNoDevice;
}

API cudaError_t cudaGetDevice(int* d) {
  *d = current;
  return 0;
}

API cudaError_t cudaSetDevice(int d) {
  int ids[64];
  if (d >= visible(ids)) return cudaErrorInvalidDevice;
  current = d;
  {
    int p = device_of(d);
    Slot* s = own_slot(p);
    if (used_bytes(p) > total_bytes()) {
      s->pid = 0;
      return cudaErrorMemoryAllocation;
    }
  }
  return 0;
}

API cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp* p, int d) {
  memset(p, 0, sizeof *p);
  const char* n = getenv("FAKECUDA_NAME");
  strncpy(p->name, n ? n : "NVIDIA A100-SXM4-80GB", 255);
  p->totalGlobalMem = total_bytes();
  p->major = (int)number_of("FAKECUDA_MAJOR", 8);
  p->minor = (int)number_of("FAKECUDA_MINOR", 0);
  p->multiProcessorCount = 108;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsPerMultiProcessor = 2048;
  p->sharedMemPerBlock = 48 << 10;
  p->sharedMemPerBlockOptin = 163 << 10;
  p->sharedMemPerMultiprocessor = 164 << 10;
  p->regsPerBlock = 65536;
  p->regsPerMultiprocessor = 65536;
  p->maxGridSize[0] = 2147483647;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->l2CacheSize = 40 << 20;
  p->unifiedAddressing = 1;
  p->textureAlignment = 512;
  p->maxBlocksPerMultiProcessor = 32;
  p->pciBusID = d;
  return 0;
}

API cudaError_t cudaDeviceGetAttribute(int* v, enum cudaDeviceAttr a, int d) {
  switch (a) {
    case cudaDevAttrMultiProcessorCount: *v = 108; break;
    case cudaDevAttrMaxThreadsPerBlock: *v = 1024; break;
    case cudaDevAttrComputeCapabilityMajor: *v = (int)number_of("FAKECUDA_MAJOR", 8); break;
    case cudaDevAttrComputeCapabilityMinor: *v = (int)number_of("FAKECUDA_MINOR", 0); break;
    case cudaDevAttrMaxGridDimX: *v = 2147483647; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *v = 48 << 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = 163 << 10; break;
    case cudaDevAttrWarpSize: *v = 32; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *v = 2048; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *v = 32; break;
    default: *v = 1;
  }
  return 0;
}

API cudaError_t cudaDeviceGetPCIBusId(char* b, int n, int d) {
  snprintf(b, n, "0000:%02x:00.0", device_of(d));
  return 0;
}

API cudaError_t cudaDriverGetVersion(int* v) {
  *v = (int)number_of("FAKECUDA_DRIVER", 13000);
  return 0;
}

API cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = 13000;
  return 0;
}

API cudaError_t cudaDeviceCanAccessPeer(int* c, int a, int b) {
  *c = 0;
  return 0;
}

API cudaError_t cudaDeviceGetStreamPriorityRange(int* l, int* g) {
  *l = 0;
  *g = -5;
  return 0;
}

API cudaError_t cudaDeviceSynchronize(void) {
  syncs++;
  count_one("SYNC cudaDeviceSynchronize");
  return 0;
}

API cudaError_t cudaGetLastError(void) {
  return lost();
}

API cudaError_t cudaPeekAtLastError(void) {
  return lost();
}

API cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode* m) {
  return 0;
}

static int driver_call(void) {
  return 0;
}

API cudaError_t cudaGetDriverEntryPointByVersion(const char* n, void** f, unsigned v,
                                                 unsigned long long fl,
                                                 enum cudaDriverEntryPointQueryResult* s) {
  *f = (void*)driver_call;
  if (s) *s = 0;
  return 0;
}

// ---- memory
static cudaError_t allocate(void** p, size_t n, int host) {
  int dev = device_of(current);
  if (!host) {
    pthread_mutex_lock(&lock);
    Slot* s = own_slot(dev);
    if (!s || used_bytes(dev) + (long)n > total_bytes()) {
      pthread_mutex_unlock(&lock);
      *p = NULL;
      return cudaErrorMemoryAllocation;
    }
    s->bytes += n;
    pthread_mutex_unlock(&lock);
  }
  void* q = mmap(0, n ? n : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
  if (q == MAP_FAILED) return cudaErrorMemoryAllocation;
  Block* b = malloc(sizeof *b);
  b->p = q;
  b->n = n ? n : 1;
  b->dev = dev;
  b->host = host;
  pthread_mutex_lock(&lock);
  b->next = blocks;
  blocks = b;
  pthread_mutex_unlock(&lock);
  *p = q;
  return 0;
}

static cudaError_t release(void* p) {
  if (!p) return 0;
  pthread_mutex_lock(&lock);
  for (Block** b = &blocks; *b; b = &(*b)->next)
    if ((*b)->p == p) {
      Block* x = *b;
      *b = x->next;
      if (!x->host) {
        Slot* s = own_slot(x->dev);
        s->bytes -= x->n;
      }
      munmap(x->p, x->n);
      free(x);
      break;
    }
  pthread_mutex_unlock(&lock);
  return 0;
}

API cudaError_t cudaMalloc(void** p, size_t n) {
  return allocate(p, n, 0);
}

API cudaError_t cudaFree(void* p) {
  return release(p);
}

API cudaError_t cudaHostAlloc(void** p, size_t n, unsigned f) {
  pinned++;
  pinned_bytes += n;
  count_one("cudaHostAlloc");
  return allocate(p, n, 1);
}

API cudaError_t cudaFreeHost(void* p) {
  return release(p);
}

API cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
  int d = device_of(current);
  Slot* sl = own_slot(d);
  *t = total_bytes();
  long u = used_bytes(d);
  if (u > total_bytes()) {
    sl->pid = 0;
    return cudaErrorMemoryAllocation;
  }
  *f = u > total_bytes() ? 0 : total_bytes() - u;
  return 0;
}

API cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes* a, const void* p) {
  memset(a, 0, sizeof *a);
  pthread_mutex_lock(&lock);
  Block* b = block_at(p);
  pthread_mutex_unlock(&lock);
  a->type = !b ? cudaMemoryTypeUnregistered : b->host ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
  a->device = 0;
  return 0;
}

// What comes back is zeros unless FAKECUDA_KEEP is set: kernels wrote nothing, and old bytes would
// be taken for results.
static void copy(void* d, const void* s, size_t n, int k) {
  if (is_capturing) return;
  if (k == cudaMemcpyDeviceToHost && !getenv("FAKECUDA_KEEP"))
    memset(d, 0, n);
  else
    memcpy(d, s, n);
  copies++;
  if (k == cudaMemcpyDeviceToHost) {
    copies_back++;
    count_one("COPY d2h");
  } else
    count_one(k == cudaMemcpyHostToDevice ? "COPY h2d" : "COPY d2d");
}

API cudaError_t cudaMemcpy(void* d, const void* s, size_t n, enum cudaMemcpyKind k) {
  copy(d, s, n, k);
  syncs++;
  count_one("SYNC cudaMemcpy");
  return 0;
}

API cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, enum cudaMemcpyKind k,
                                cudaStream_t st) {
  copy(d, s, n, k);
  return lost();
}

API cudaError_t cudaMemcpyToSymbol(const void* d, const void* s, size_t n, size_t o,
                                   enum cudaMemcpyKind k) {
  return 0;
}

API cudaError_t cudaMemset(void* p, int v, size_t n) {
  memsets++;
  count_one("MEMSET");
  memset(p, v, n);
  return 0;
}

API cudaError_t cudaMemsetAsync(void* p, int v, size_t n, cudaStream_t s) {
  if (is_capturing) return 0;
  memsets++;
  count_one("MEMSET");
  memset(p, v, n);
  return 0;
}

// ---- streams, events
static long handle = 0x1000;
#define NEW_HANDLE(x) (*(void**)(x) = (void*)__sync_add_and_fetch(&handle, 16), 0)

API cudaError_t cudaStreamCreate(cudaStream_t* s) {
  return NEW_HANDLE(s);
}

API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned f) {
  return NEW_HANDLE(s);
}

API cudaError_t cudaStreamCreateWithPriority(cudaStream_t* s, unsigned f, int p) {
  return NEW_HANDLE(s);
}

API cudaError_t cudaStreamDestroy(cudaStream_t s) {
  return 0;
}

API cudaError_t cudaStreamQuery(cudaStream_t s) {
  return 0;
}

API cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  if (is_capturing && s == captured_stream) {
    is_invalid = 1;
    return cudaErrorStreamCaptureUnsupported;
  }
  syncs++;
  count_one("SYNC cudaStreamSynchronize");
  return lost();
}

API cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned f) {
  return 0;
}

API cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus* c) {
  *c = is_capturing && s == captured_stream ? cudaStreamCaptureStatusActive : 0;
  return 0;
}

API cudaError_t cudaEventCreate(cudaEvent_t* e) {
  return NEW_HANDLE(e);
}

API cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned f) {
  return NEW_HANDLE(e);
}

API cudaError_t cudaEventDestroy(cudaEvent_t e) {
  return 0;
}

API cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  return 0;
}

API cudaError_t cudaEventRecordWithFlags(cudaEvent_t e, cudaStream_t s, unsigned f) {
  return 0;
}

API cudaError_t cudaEventQuery(cudaEvent_t e) {
  return 0;
}

API cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  syncs++;
  count_one("SYNC cudaEventSynchronize");
  return 0;
}

API cudaError_t cudaEventElapsedTime(float* t, cudaEvent_t a, cudaEvent_t b) {
  *t = 0.01f;
  return 0;
}

API cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t f, void* u) {
  f(u);
  return 0;
}

API cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t f, void* u,
                                      unsigned fl) {
  f(s, 0, u);
  return 0;
}

API void fakecuda_note(const char* n) {
  if (is_capturing) return;
  __sync_fetch_and_add(&launches, 1);
  count_one(n);
}

API char __cudaInitModule(void** h) {
  return 1;
}

API cudaError_t cudaDeviceEnablePeerAccess(int d, unsigned f) {
  return 0;
}

API cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* m, int d) {
  *m = 0;
  return 0;
}

API cudaError_t cudaGetSymbolAddress(void** p, const void* s) {
  static char z[1 << 16];
  *p = z;
  return 0;
}

API cudaError_t cudaStreamGetPriority(cudaStream_t s, int* p) {
  *p = 0;
  return 0;
}

API cudaError_t cudaHostRegister(void* p, size_t n, unsigned f) {
  pinned++;
  pinned_bytes += n;
  count_one("cudaHostRegister");
  return 0;
}

API cudaError_t cudaHostUnregister(void* p) {
  return 0;
}

API cudaError_t cudaMemcpyPeerAsync(void* d, int dd, const void* s, int sd, size_t n,
                                    cudaStream_t st) {
  copy(d, s, n, cudaMemcpyDeviceToDevice);
  return 0;
}

API cudaError_t cudaProfilerStart(void) {
  return 0;
}

API cudaError_t cudaProfilerStop(void) {
  return 0;
}

API cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t k, enum cudaFuncAttribute a, int v,
                                                int d) {
  return 0;
}

// 13.0: (stream, status, id, graph, deps, edges, n)
API cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, enum cudaStreamCaptureStatus* st,
                                         unsigned long long* id, cudaGraph_t* g,
                                         const cudaGraphNode_t** d, const cudaGraphEdgeData** e,
                                         size_t* n) {
  if (st) *st = is_capturing && s == captured_stream ? cudaStreamCaptureStatusActive : 0;
  if (id) *id = n_captures;
  if (g) *g = (cudaGraph_t)0x2000;
  if (n) *n = 0;
  return 0;
}

// ---- graphs
API cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode m) {
  captured_stream = s;
  is_capturing = 1;
  n_captures++;
  return 0;
}

API cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* g) {
  int failed = is_invalid;
  is_capturing = is_invalid = 0;
  if (failed) return cudaErrorStreamCaptureInvalidated;
  return NEW_HANDLE(g);
}

API cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* e, cudaGraph_t g,
                                              unsigned long long f) {
  return NEW_HANDLE(e);
}

API cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long f) {
  return NEW_HANDLE(e);
}

API cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t* nodes, size_t* n) {
  *n = 1;
  return 0;
}

API cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
  fakecuda_note("cudaGraphLaunch");
  return lost();
}

API cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  return 0;
}

API cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
  return 0;
}
