// What only the machine has: conversions, asynchronous copies, matrix products of a warp. sm_80 and newer.
// Everything else is plain C++, so that the tests may put another file in the place of this one.

#define DYNAMIC_SHARED(name) extern __shared__ uint4 name[]

__device__ inline unsigned short half_bits(float x) {
    unsigned short h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
__device__ inline float half_value(unsigned short h) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
}
__device__ inline unsigned short bfloat_bits(float x) {
    unsigned short h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
__device__ inline unsigned tensor_float(float x) {  // rounded to TF32
    unsigned t;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(t) : "f"(x));
    return t;
}

// Every kernel that calls this may be started while the one before it in its stream still runs (programmatic dependent
// launch): it waits here until all that came before has ended and is seen, and lets the next one be started. Until then
// nothing may be read that a kernel writes, and nothing written.
__device__ inline void after_others() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Blocks of a cluster, which run at the same time: a barrier for all their threads, and where in the shared memory of
// block `rank` lies what lies at `mine` in one's own. Compute capability 9.0.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define CLUSTER_OF(count) __cluster_dims__(1, 1, count)
__device__ inline void cluster_barrier() {
    asm volatile("barrier.cluster.arrive;\n\tbarrier.cluster.wait;" ::: "memory");
}
__device__ inline const void *of_block(const void *mine, unsigned rank) {
    unsigned long long theirs;
    asm("mapa.u64 %0, %1, %2;" : "=l"(theirs) : "l"(mine), "r"(rank));
    return (const void *)theirs;
}
#else
#define CLUSTER_OF(count)
__device__ inline void cluster_barrier() {}
__device__ inline const void *of_block(const void *mine, unsigned) { return mine; }
#endif

// Copies of 4 or 16 bytes to shared memory that run on while the warp computes; zeros where not `inside`.
template <int BYTES>
__device__ inline void copy_async(void *to, const void *from, bool inside) {
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);
    const int taken = inside ? BYTES : 0;
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(taken));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(taken));
}
__device__ inline void copies_begun() { asm volatile("cp.async.commit_group;"); }
template <int PENDING>
__device__ inline void copies_done() {  // all but the PENDING groups that were begun last
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Four 8 x 16-byte matrices: lane l gives the address of row l % 8 of matrix l / 8; it gets word l % 4 of row l / 4.
__device__ inline void load_matrices(unsigned (&r)[4], const void *row) {
    const unsigned at = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}

// c [16, 8] += a [16, K] b [8, K]', a row being 32 bytes: 16 halves or bfloats, 8 TF32s, 32 int8s.
#define MMA(name, shape, types, S, kind)                                                                     \
    __device__ inline void name(S (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {               \
        asm volatile("mma.sync.aligned." shape ".row.col." types " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, " \
                     "{%0, %1, %2, %3};"                                                                     \
                     : "+" kind(c[0]), "+" kind(c[1]), "+" kind(c[2]), "+" kind(c[3])                        \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                        \
    }
MMA(mma_half, "m16n8k16", "f32.f16.f16.f32", float, "f")
MMA(mma_bfloat, "m16n8k16", "f32.bf16.bf16.f32", float, "f")
MMA(mma_tensor_float, "m16n8k8", "f32.tf32.tf32.f32", float, "f")
MMA(mma_signed, "m16n8k32", "s32.s8.s8.s32", int, "r")
MMA(mma_unsigned, "m16n8k32", "s32.u8.s8.s32", int, "r")  // a unsigned, b signed
#undef MMA
