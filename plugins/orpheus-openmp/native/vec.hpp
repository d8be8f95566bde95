// One vector of floats, for the instruction set that this file is compiled for.
//
// Everything lies in the instruction set's own namespace and nothing of the standard library is used, so that no
// function compiled for a newer processor can be linked into the code of an older one.
#pragma once

#include "args.hpp"

#if defined(ORPHEUS_ISA_avx512) || defined(ORPHEUS_ISA_avx2)
#include <immintrin.h>
#elif defined(ORPHEUS_ISA_neon)
#include <arm_neon.h>
#endif

#define ORPHEUS_INLINE inline __attribute__((always_inline))
#define ORPHEUS_UNROLL _Pragma("GCC unroll 32")

namespace orpheus::ORPHEUS_NAMESPACE {

// B: floats in a vector. max_pixels x max_vectors: the register tile, accumulators beside which the weights of
// max_vectors vectors and one input fit into the registers (32, 16, 32, 16). short_pixels x tall_vectors: another one, for
// rows that are too short to fill the first.
#if defined(ORPHEUS_ISA_avx512)
using Vec = __m512;
constexpr int B = 16, max_pixels = 14, max_vectors = 2, short_pixels = 9, tall_vectors = 3;
ORPHEUS_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
ORPHEUS_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
ORPHEUS_INLINE Vec broadcast(float s) { return _mm512_set1_ps(s); }
ORPHEUS_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
// The second operand where either is not a number, so that NaN in b passes through.
ORPHEUS_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
ORPHEUS_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
#elif defined(ORPHEUS_ISA_avx2)
using Vec = __m256;
constexpr int B = 8, max_pixels = 6, max_vectors = 2, short_pixels = 4, tall_vectors = 3;
ORPHEUS_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
ORPHEUS_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
ORPHEUS_INLINE Vec broadcast(float s) { return _mm256_set1_ps(s); }
ORPHEUS_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
ORPHEUS_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
ORPHEUS_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
#elif defined(ORPHEUS_ISA_neon)
using Vec = float32x4_t;
constexpr int B = 4, max_pixels = 14, max_vectors = 2, short_pixels = 9, tall_vectors = 3;
ORPHEUS_INLINE Vec load(const float* p) { return vld1q_f32(p); }
ORPHEUS_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
ORPHEUS_INLINE Vec broadcast(float s) { return vdupq_n_f32(s); }
ORPHEUS_INLINE Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
ORPHEUS_INLINE Vec max(Vec a, Vec b) { return vmaxq_f32(a, b); }  // NaN in either passes through
ORPHEUS_INLINE Vec min(Vec a, Vec b) { return vminq_f32(a, b); }
#else
typedef float Vec __attribute__((vector_size(16)));
constexpr int B = 4, max_pixels = 6, max_vectors = 2, short_pixels = 4, tall_vectors = 3;
ORPHEUS_INLINE Vec load(const float* p) {
    Vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
ORPHEUS_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
ORPHEUS_INLINE Vec broadcast(float s) { return Vec{s, s, s, s}; }
ORPHEUS_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
ORPHEUS_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
ORPHEUS_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
#endif

// GCC and Clang give vectors the arithmetic operators, so a + b needs no function.

ORPHEUS_INLINE Vec zero() { return broadcast(0.0f); }

// The larger of both, or NaN where either is.
ORPHEUS_INLINE Vec larger(Vec a, Vec b) {
#if defined(ORPHEUS_ISA_avx512)
    return _mm512_mask_max_ps(a, _mm512_cmp_ps_mask(a, a, _CMP_ORD_Q), a, b);
#elif defined(ORPHEUS_ISA_neon)
    return max(a, b);
#else
    return a != a ? a : max(a, b);
#endif
}

// max(lo, min(hi, v)) that keeps NaN.
ORPHEUS_INLINE Vec clamp(Vec v, Vec lo, Vec hi) { return max(lo, min(hi, v)); }

template <class T> ORPHEUS_INLINE constexpr T least(T a, T b) { return a < b ? a : b; }
template <class T> ORPHEUS_INLINE constexpr T most(T a, T b) { return a > b ? a : b; }
ORPHEUS_INLINE Int ceil_div(Int a, Int b) { return (a + b - 1) / b; }

// The first `count` lanes from memory, the others zero; and the first `count` lanes to memory.
ORPHEUS_INLINE Vec load_some(const float* p, Int count) {
    float lanes[B] = {};
    for (Int i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
}
ORPHEUS_INLINE void store_some(float* p, Vec v, Int count) {
    float lanes[B];
    store(lanes, v);
    for (Int i = 0; i < count; ++i) p[i] = lanes[i];
}

constexpr int line = 16;  // floats of a cache line

// Stores past the caches where the processor can, to an address that is a multiple of the bytes stored. It is fast only
// where whole lines are written one after the other, and others may read them after end_stream().
typedef float Half __attribute__((vector_size(2 * B)));
ORPHEUS_INLINE void stream(float* p, Vec v) {
#if defined(ORPHEUS_ISA_avx512)
    _mm512_stream_ps(p, v);
#elif defined(ORPHEUS_ISA_avx2)
    _mm256_stream_ps(p, v);
#else
    store(p, v);
#endif
}
ORPHEUS_INLINE void stream(float* p, Half v) {
#if defined(ORPHEUS_ISA_avx512)
    _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#elif defined(ORPHEUS_ISA_avx2)
    _mm_stream_ps(p, reinterpret_cast<__m128>(v));
#else
    __builtin_memcpy(p, &v, sizeof v);
#endif
}
ORPHEUS_INLINE void end_stream() {
#if defined(ORPHEUS_ISA_avx512) || defined(ORPHEUS_ISA_avx2)
    _mm_sfence();
#endif
}

// Asks for the line at p, into L2: for weights and inputs that come later.
ORPHEUS_INLINE void prefetch_far(const float* p) { __builtin_prefetch(p, 0, 2); }

ORPHEUS_INLINE void copy_floats(float* to, const float* from, Int count) {
    __builtin_memcpy(to, from, static_cast<unsigned long>(count) * sizeof(float));
}

// UpTo<3> is Numbers<1, 2, 3>: an argument from which a template takes the list of its instances.
template <int... N> struct Numbers {};
template <int N, int... More> struct Counted : Counted<N - 1, N, More...> {};
template <int... N> struct Counted<0, N...> {
    using type = Numbers<N...>;
};
template <int N> using UpTo = typename Counted<N>::type;

// Lanes of two vectors: those of the first are 0 to B - 1, those of the second go on from B.
#if defined(__clang__)
template <int... Lane> ORPHEUS_INLINE Vec shuffled(Vec a, Vec b) { return __builtin_shufflevector(a, b, Lane...); }
#else
template <int... Lane> ORPHEUS_INLINE Vec shuffled(Vec a, Vec b) {
    typedef int Lanes __attribute__((vector_size(sizeof(Vec))));
    return __builtin_shuffle(a, b, Lanes{Lane...});
}
#endif

// Lanes that are D apart change their places, between two rows that are.
template <int D, int... L> ORPHEUS_INLINE void exchange(Vec& a, Vec& b, Numbers<L...>) {
    const Vec first = shuffled<((L - 1) & D ? B + L - 1 - D : L - 1)...>(a, b);
    b = shuffled<((L - 1) & D ? B + L - 1 : L - 1 + D)...>(a, b);
    a = first;
}

// B rows of B floats become columns, in registers: rows and lanes trade one digit of their numbers after the other.
template <int D = B / 2> ORPHEUS_INLINE void transpose(Vec (&rows)[B]) {
    ORPHEUS_UNROLL
    for (int i = 0; i < B; ++i)
        if (!(i & D)) exchange<D>(rows[i], rows[i + D], UpTo<B>{});
    if constexpr (D > 1) transpose<D / 2>(rows);
}

// The contiguous share of `count` items that a member of the team computes.
struct Range {
    Int begin, end;
};
ORPHEUS_INLINE Range share(Int count, const Team& team) {
    return {count * team.rank / team.size, count * (team.rank + 1) / team.size};
}

// Whether the largest share of `count` pieces is near the others: within a sixteenth of what it would be.
ORPHEUS_INLINE bool even(Int count, const Team& team) {
    return ceil_div(count, Int{team.size}) * team.size * 16 <= count * 17;
}

// Calls run(span) for this thread's share of the rows of all images. Kernels that share out rows find in a processor's
// own cache what it wrote for the layer before; processors that do not share a cache feel it most.
template <class Run> ORPHEUS_INLINE void share_rows(Int images, Int rows, const Team& team, const Run& run) {
    const Range range = share(images * rows, team);
    for (Int begin = range.begin, end; begin < range.end; begin = end) {
        const Int image = begin / rows;
        end = least(range.end, (image + 1) * rows);
        run(Span{image, begin - image * rows, end - image * rows, team.rank});
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
