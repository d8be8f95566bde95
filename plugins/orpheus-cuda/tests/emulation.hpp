// In the place of ptx.cuh: a block's threads as fibers of one thread of the host, so that the very kernels run here.
//
// A thread runs until it waits for others; barriers count who is still alive. Every other block runs its threads in
// the opposite order. Copies to shared memory happen when they are waited for, not when they are begun. Shared memory
// begins as garbage. A block in which all wait and none can go on ends the process with a message. The blocks of a cluster
// run together.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <ucontext.h>
#include <utility>
#include <vector>

struct uint4 { unsigned x, y, z, w; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
#define __restrict__
#define CLUSTER_OF(count)
inline void after_others() {}
#define DYNAMIC_SHARED(name) uint4 *name = (uint4 *)emulation::shared

namespace emulation {
struct Barrier { unsigned arrived = 0; unsigned long passed = 0; };
struct Copy { void *to; const void *from; int bytes; bool inside; };
struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(65536);
    bool done = true;
    std::vector<std::vector<Copy>> copies;
};
static std::vector<Fiber> fibers;
static std::vector<Barrier> warps;
static std::vector<unsigned> living;  // in each warp
static std::vector<Barrier> all;       // of each block of a cluster
static std::vector<unsigned> residents;
static Barrier together;
static unsigned alive, current, threads, member;
static size_t apart;  // bytes from one block's shared memory to the next one's
static char *memory;
static dim3 origin;
static unsigned long progress;
static ucontext_t home;
static char *shared;
static std::function<void()> body;
static unsigned char letters[32][32][32];  // of a warp, of a lane, 32 bytes

static void yield() { swapcontext(&fibers[current].context, &home); }
static void wait(Barrier &b, const unsigned &expected) {
    const unsigned long mine = b.passed;
    ++b.arrived;
    while (b.passed == mine) {
        if (b.arrived >= expected) {
            b.arrived = 0, ++b.passed, ++progress;
            return;
        }
        yield();
    }
}
static void wait_warp() { wait(warps[current / 32], living[current / 32]); }
static unsigned lane() { return current % 32; }
static unsigned char (*mail())[32] { return letters[current / 32]; }
static void enter() {
    body();
    fibers[current].done = true, --alive, --residents[member], --living[current / 32], ++progress;
    yield();
}
static void place(unsigned t) {
    current = t, member = t / threads, t %= threads;
    blockIdx = {origin.x, origin.y, origin.z + member};
    shared = memory + member * apart;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}
static void run_cluster(unsigned members, bool waits, bool backwards) {
    threads = blockDim.x * blockDim.y * blockDim.z;
    const unsigned count = threads * members;
    if (members > 1 && threads % 32) fprintf(stderr, "emulation: a cluster of uneven blocks\n"), abort();
    if (!waits) {
        for (unsigned t = 0; t < count; ++t) place(backwards ? count - 1 - t : t), body();
        return;
    }
    if (fibers.size() < count) fibers.resize(count);
    warps.assign((count + 31) / 32, Barrier());
    living.assign(warps.size(), 0);
    all.assign(members, Barrier()), residents.assign(members, threads), together = Barrier(), alive = count;
    for (unsigned t = 0; t < count; ++t) {
        Fiber &f = fibers[t];
        getcontext(&f.context);
        f.context.uc_stack.ss_sp = f.stack.data(), f.context.uc_stack.ss_size = f.stack.size();
        f.context.uc_link = &home;
        makecontext(&f.context, enter, 0);
        f.done = false, f.copies.assign(1, {}), ++living[t / 32];
    }
    while (alive) {
        const unsigned long before = progress;
        for (unsigned i = 0; i < count; ++i) {
            const unsigned t = backwards ? count - 1 - i : i;
            if (fibers[t].done) continue;
            place(t);
            swapcontext(&home, &fibers[t].context);
        }
        if (progress == before) fprintf(stderr, "emulation: a block waits for threads that do not come\n"), abort();
    }
}
template <class... A, size_t... I>
static void call(void (*f)(A...), void **arguments, std::index_sequence<I...>) {
    f(*(std::remove_const_t<A> *)arguments[I]...);
}
template <class... A>
static void launch(void (*f)(A...), void **arguments, const unsigned *grid, const unsigned *block, int bytes, bool waits,
                   unsigned members) {
    gridDim = {grid[0], grid[1], grid[2]}, blockDim = {block[0], block[1], block[2]};
    apart = bytes / 16 * 16 + 16;
    std::vector<uint4> dynamic(apart / 16 * members);
    memory = (char *)dynamic.data();
    if (grid[2] % members) fprintf(stderr, "emulation: a grid that is not of whole clusters\n"), abort();
    body = [&] { call(f, arguments, std::index_sequence_for<A...>()); };
    unsigned number = 0;
    for (unsigned z = 0; z < grid[2]; z += members)
        for (unsigned y = 0; y < grid[1]; ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                origin = {x, y, z};
                memset(memory, 0xff, apart * members);
                run_cluster(members, waits, ++number % 2 == 0);
            }
}
template <class T> T shuffle(T value, unsigned from) {
    memcpy(mail()[lane()], &value, sizeof value);
    wait_warp();
    memcpy(&value, mail()[from], sizeof value);
    wait_warp();
    return value;
}
}  // namespace emulation

inline void __syncthreads() {
    using namespace emulation;
    wait(all[member], residents[member]);
}
inline void cluster_barrier() { emulation::wait(emulation::together, emulation::alive); }
inline const void *of_block(const void *mine, unsigned rank) {
    using namespace emulation;
    return memory + rank * apart + ((const char *)mine - shared);
}
inline void __syncwarp() { emulation::wait_warp(); }
inline void __threadfence() {}
template <class T> T __ldcg(const T *at) { return *at; }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulation::shuffle(value, emulation::lane() ^ mask);
}
template <class T> T __shfl_sync(unsigned, T value, int from) { return emulation::shuffle(value, from); }
template <class T> T atomicAdd(T *at, T by) {
    const T before = *at;
    *at += by;
    return before;
}
template <class T, class S> T reinterpreted(S s) {
    T t;
    memcpy(&t, &s, sizeof t);
    return t;
}
inline float __int_as_float(int x) { return reinterpreted<float>(x); }
inline float __uint_as_float(unsigned x) { return reinterpreted<float>(x); }
inline int __float_as_int(float x) { return reinterpreted<int>(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
using std::fmaxf, std::fminf, std::ceil, std::cos, std::erf, std::exp, std::expm1, std::fabs, std::floor, std::log, std::log1p, std::pow,
    std::rint, std::sin, std::sqrt, std::tanh;

inline unsigned short half_bits(float x) { return reinterpreted<unsigned short>((_Float16)x); }
inline float half_value(unsigned short h) { return (float)reinterpreted<_Float16>(h); }
inline unsigned short bfloat_bits(float x) {
    const unsigned b = reinterpreted<unsigned>(x);
    return x != x ? 0x7fff : (b + 0x7fff + (b >> 16 & 1)) >> 16;
}
inline unsigned tensor_float(float x) { return (reinterpreted<unsigned>(x) + 0x1000) & ~0x1fffu; }

template <int BYTES> void copy_async(void *to, const void *from, bool inside) {
    if ((size_t)to % BYTES || (inside && (size_t)from % BYTES))
        fprintf(stderr, "emulation: a copy of %d bytes that is not aligned\n", BYTES), abort();
    emulation::fibers[emulation::current].copies.back().push_back({to, from, BYTES, inside});
}
inline void copies_begun() { emulation::fibers[emulation::current].copies.emplace_back(); }
template <int PENDING> void copies_done() {
    auto &groups = emulation::fibers[emulation::current].copies;
    while (groups.size() > PENDING + 1) {
        for (auto &c : groups.front()) c.inside ? memcpy(c.to, c.from, c.bytes) : memset(c.to, 0, c.bytes);
        groups.erase(groups.begin());
    }
}
inline void load_matrices(unsigned (&r)[4], const void *row) {
    using namespace emulation;
    memcpy(mail()[lane()], &row, sizeof row);
    wait_warp();
    for (int i = 0; i < 4; ++i) {
        const unsigned *from;
        memcpy(&from, mail()[i * 8 + lane() / 4], sizeof from);
        r[i] = from[lane() % 4];
    }
    wait_warp();
}
// Words of 4 bytes lie in lanes and registers as PTX documents for mma.m16n8k16 (.f16), m16n8k8 (.tf32), m16n8k32 (.s8).
template <int PARTS, class S, class F> void mma(S (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, F part) {
    using namespace emulation;
    const unsigned mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    memcpy(mail()[lane()], mine, sizeof mine);
    wait_warp();
    for (int i = 0; i < 4; ++i) {
        const int m = lane() / 4 + i / 2 * 8, n = lane() % 4 * 2 + i % 2;
        for (int w = 0; w < 8; ++w) {
            unsigned x, y;
            memcpy(&x, mail()[m % 8 * 4 + w % 4] + 4 * (m / 8 + w / 4 * 2), 4);
            memcpy(&y, mail()[n * 4 + w % 4] + 4 * (4 + w / 4), 4);
            for (int p = 0; p < PARTS; ++p) c[i] += part(x, p, true) * part(y, p, false);
        }
    }
    wait_warp();
}
inline void mma_half(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    mma<2>(c, a, b0, b1, [](unsigned x, int p, bool) { return half_value(x >> 16 * p); });
}
inline void mma_bfloat(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    mma<2>(c, a, b0, b1, [](unsigned x, int p, bool) { return __uint_as_float(x >> 16 * p << 16); });
}
inline void mma_tensor_float(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    mma<1>(c, a, b0, b1, [](unsigned x, int, bool) { return __uint_as_float(x & ~0x1fffu); });
}
inline void mma_signed(int (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    mma<4>(c, a, b0, b1, [](unsigned x, int p, bool) { return (int)(signed char)(x >> 8 * p); });
}
inline void mma_unsigned(int (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    mma<4>(c, a, b0, b1, [](unsigned x, int p, bool left) {
        return left ? (int)(unsigned char)(x >> 8 * p) : (int)(signed char)(x >> 8 * p);
    });
}
