// cuBLAS(Lt) and cuDNN: handles are numbers, work is counted as one launch each.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
static long handle = 0x9000;
#define API __attribute__((visibility("default")))
extern void fakecuda_note(const char*);
#define NOTHING(n) \
  API int n() {    \
    return 0;      \
  }
#define NEW_HANDLE(n)   \
  API int n(void** p) { \
    handle += 16;       \
    *p = (void*)handle; \
    return 0;           \
  }
#define COUNTED(n)     \
  API int n() {        \
    fakecuda_note(#n); \
    return 0;          \
  }
NEW_HANDLE(cublasCreate_v2);
NOTHING(cublasDestroy_v2);
NOTHING(cublasSetStream_v2);
NOTHING(cublasSetMathMode);
NOTHING(cublasSetPointerMode_v2);
NOTHING(cublasSetWorkspace_v2);
NOTHING(cublasSetSmCountTarget);

API int cublasGetMathMode(void* a, int* m) {
  *m = 0;
  return 0;
}

API int cublasGetPointerMode_v2(void* a, int* m) {
  *m = 0;
  return 0;
}

COUNTED(cublasSgemm_v2);
COUNTED(cublasDgemm_v2);
COUNTED(cublasGemmEx);
COUNTED(cublasSgemmEx);
COUNTED(cublasSgemmStridedBatched);
COUNTED(cublasGemmStridedBatchedEx);
COUNTED(cublasSgemv_v2);
COUNTED(cublasDgemv_v2);
COUNTED(cublasSdot_v2);
COUNTED(cublasDdot_v2);
COUNTED(cublasDotEx);

API int cublasLtMatmulDescCreate(void** p) {
  *p = calloc(1, 64);
  return 0;
}
NOTHING(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatmulDescSetAttribute);

API int cublasLtMatmulPreferenceCreate(void** p) {
  *p = calloc(1, 64);
  return 0;
}
NOTHING(cublasLtMatmulPreferenceDestroy)
NOTHING(cublasLtMatmulPreferenceSetAttribute);

API int cublasLtMatrixLayoutCreate(void** p) {
  *p = calloc(1, 64);
  return 0;
}
NOTHING(cublasLtMatrixLayoutDestroy)
NOTHING(cublasLtMatrixLayoutSetAttribute);
COUNTED(cublasLtMatmul);
NOTHING(cublasLtMatmulAlgoCheck);

API int cublasLtMatmulAlgoGetHeuristic(void* l, void* d, void* A, void* B, void* C, void* D,
                                       void* pref, int n, void* res, int* ret) {
  memset(res, 0, 96);
  *ret = 1;
  return 0;
}

API unsigned long cublasLtGetVersion(void) {
  return 130100;
}

NEW_HANDLE(cudnnCreate);
NOTHING(cudnnDestroy);
NOTHING(cudnnSetStream);

API int cudnnGetStream(void* a, void** s) {
  *s = 0;
  return 0;
}

NEW_HANDLE(cudnnCreateTensorDescriptor);
NEW_HANDLE(cudnnCreateFilterDescriptor);
NEW_HANDLE(cudnnCreateConvolutionDescriptor);
NEW_HANDLE(cudnnCreateActivationDescriptor);
NOTHING(cudnnDestroyTensorDescriptor);
NOTHING(cudnnDestroyFilterDescriptor);
NOTHING(cudnnDestroyConvolutionDescriptor);
NOTHING(cudnnDestroyActivationDescriptor);
NOTHING(cudnnSetTensorNdDescriptor);
NOTHING(cudnnSetFilterNdDescriptor);
NOTHING(cudnnSetConvolutionNdDescriptor);
NOTHING(cudnnSetConvolutionGroupCount);
NOTHING(cudnnSetConvolutionMathType);
NOTHING(cudnnSetActivationDescriptor);
NOTHING(cudnnGetTensorNdDescriptor);
NOTHING(cudnnGetFilterNdDescriptor);

API int cudnnGetConvolutionForwardWorkspaceSize(void* a, void* b, void* c, void* d, void* e, int al,
                                                size_t* s) {
  *s = 0;
  return 0;
}

API int cudnnGetConvolutionBackwardDataWorkspaceSize(void* a, void* b, void* c, void* d, void* e,
                                                     int al, size_t* s) {
  *s = 0;
  return 0;
}

API int cudnnGetConvolutionBackwardFilterWorkspaceSize(void* a, void* b, void* c, void* d, void* e,
                                                       int al, size_t* s) {
  *s = 0;
  return 0;
}

typedef struct {
  int algo;
  int status;
  float time;
  size_t memory;
  int determinism;
  int mathType;
  int reserved[3];
} Perf;

static int one(int n, int* got, Perf* p) {
  memset(p, 0, sizeof *p);
  p->algo = 1;
  p->determinism = 1;
  *got = 1;
  return 0;
}

API int cudnnGetConvolutionForwardAlgorithm_v7(void* a, void* b, void* c, void* d, void* e, int n,
                                               int* g, Perf* p) {
  return one(n, g, p);
}

API int cudnnGetConvolutionBackwardDataAlgorithm_v7(void* a, void* b, void* c, void* d, void* e,
                                                    int n, int* g, Perf* p) {
  return one(n, g, p);
}

API int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void* a, void* b, void* c, void* d, void* e,
                                                      int n, int* g, Perf* p) {
  return one(n, g, p);
}

COUNTED(cudnnConvolutionForward);
COUNTED(cudnnConvolutionBackwardData);
COUNTED(cudnnConvolutionBackwardFilter);
COUNTED(cudnnConvolutionBiasActivationForward);
COUNTED(cudnnBatchNormalizationForwardTrainingEx);
COUNTED(cudnnBatchNormalizationBackwardEx);
COUNTED(cudnnBatchNormalizationForwardInference);

API int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void* a, int m, int o, void* x,
                                                                 void* z, void* y, void* b,
                                                                 void* ac, size_t* s) {
  *s = 0;
  return 0;
}

API int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void* a, int m, int o, void* x, void* y,
                                                          void* dy, void* dz, void* dx, void* b,
                                                          void* ac, size_t* s) {
  *s = 0;
  return 0;
}

API int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void* a, int m, int o, void* ac,
                                                             void* x, size_t* s) {
  *s = 0;
  return 0;
}

#define CUDNN_ATTR_ENGINE_NUMERICAL_NOTE 1303
#define CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE 1305
#define CUDNN_ATTR_ENGINECFG_KNOB_CHOICES 302
#define CUDNN_ATTR_ENGINE_KNOB_INFO 1302
#define CUDNN_TYPE_INT64 3

API int cudnnBackendCreateDescriptor(int type, void** d) {
  *d = calloc(1, 64);
  *(int*)*d = type;
  return 0;
}

API int cudnnBackendDestroyDescriptor(void* d) {
  free(d);
  return 0;
}

NOTHING(cudnnBackendSetAttribute);
NOTHING(cudnnBackendFinalize);

API int cudnnBackendExecute() {
  fakecuda_note("cudnnBackendExecute");
  return 0;
}

API int cudnnBackendGetAttribute(void* d, int attr, int type, int64_t n, int64_t* got, void* out) {
  int64_t k = 1;
  if (attr == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE || attr == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE ||
      attr == CUDNN_ATTR_ENGINECFG_KNOB_CHOICES || attr == CUDNN_ATTR_ENGINE_KNOB_INFO)
    k = 0;
  if (got) *got = k;
  if (out && n > 0 && k) {
    if (type == CUDNN_TYPE_INT64)
      *(int64_t*)out =
          (attr == 402 && getenv("FAKECUDNN_WORKSPACE")) ? atoll(getenv("FAKECUDNN_WORKSPACE")) : 0;
  }
  return 0;
}
