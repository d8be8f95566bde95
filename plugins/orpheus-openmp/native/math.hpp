// Elementary functions on vectors, in single precision.
//
// exp: Cody-Waite reduction by ln 2 in two parts and a minimax polynomial of degree 6 on [-ln2/2, ln2/2], scaled by
// two powers of two so that subnormal results and infinity come out right; error below 1.5 units in the last place.
// expm1: the same, with 1 taken away between the two powers. log: x = m 2^e with m around 1, and a minimax polynomial
// of degree 8. erf and Gelu: an odd polynomial near zero; beyond, exp(-u^2 / 2) times a polynomial of degree 9 in
// 4 / (4 + u), which is Mills' ratio. The polynomials are fits of least relative error (Lawson's iteration).
#pragma once

#include <math.h>

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

// float(2^n) for lanes n in [-126, 127] that hold whole numbers.
ORPHEUS_INLINE Vec power_of_two(Vec n) {
#if defined(ORPHEUS_ISA_avx512)
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
#elif defined(ORPHEUS_ISA_avx2)
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
#elif defined(ORPHEUS_ISA_neon)
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
#else
    typedef int Ints __attribute__((vector_size(16)));
    const Ints bits = (__builtin_convertvector(n, Ints) + 127) << 23;
    Vec v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
#endif
}

// Nearest whole number, for |v| below 2^22: adding 1.5 * 2^23 leaves no bits for a fraction.
ORPHEUS_INLINE Vec round_to_whole(Vec v) {
    const Vec magic = broadcast(12582912.0f);
    return (v + magic) - magic;
}

// exp(x) = (1 + fraction) * first * second; the latter are powers of two.
struct Exponential {
    Vec fraction, first, second, inverse;  // inverse: 1 / second
};
ORPHEUS_INLINE Exponential exponential(Vec x) {
    // Beyond these the result is infinite or zero anyway. NaN passes.
    const Vec inside = clamp(x, broadcast(-104.0f), broadcast(89.0f));
    const Vec n = round_to_whole(inside * broadcast(1.44269504f));
    Vec r = fma(n, broadcast(-0.693359375f), inside);
    r = fma(n, broadcast(2.12194440e-4f), r);
    Vec p = broadcast(1.9875691500e-4f);
    p = fma(p, r, broadcast(1.3981999507e-3f));
    p = fma(p, r, broadcast(8.3334519073e-3f));
    p = fma(p, r, broadcast(4.1665795894e-2f));
    p = fma(p, r, broadcast(1.6666665459e-1f));
    p = fma(p, r, broadcast(5.0000001201e-1f));
    const Vec half = round_to_whole(n * broadcast(0.5f));
    return {fma(p * r, r, r), power_of_two(half), power_of_two(n - half), power_of_two(half - n)};
}

ORPHEUS_INLINE Vec exp(Vec x) {
    const Exponential e = exponential(x);
    return (e.fraction + broadcast(1.0f)) * e.first * e.second;
}

// exp(x) - 1 without its cancellation next to zero; error below 1.6 units in the last place.
ORPHEUS_INLINE Vec expm1(Vec x) {
    const Exponential e = exponential(x);
    return fma(e.fraction, e.first, e.first - e.inverse) * e.second;
}

// log((1 + f) 2^e) for f in [sqrt(1/2) - 1, sqrt(2) - 1] and whole e.
ORPHEUS_INLINE Vec log_of_parts(Vec f, Vec e) {
    Vec p = broadcast(6.7466386e-2f);
    p = fma(p, f, broadcast(-1.1675651e-1f));
    p = fma(p, f, broadcast(1.1888163e-1f));
    p = fma(p, f, broadcast(-1.2405589e-1f));
    p = fma(p, f, broadcast(1.4219552e-1f));
    p = fma(p, f, broadcast(-1.6667996e-1f));
    p = fma(p, f, broadcast(2.0002119e-1f));
    p = fma(p, f, broadcast(-2.500001e-1f));
    p = fma(p, f, broadcast(3.3333313e-1f));
    const Vec z = f * f;
    const Vec tail = fma(broadcast(-0.5f), z, fma(e, broadcast(-2.12194440e-4f), p * f * z));
    return fma(e, broadcast(0.693359375f), f + tail);
}

// Error below 1 unit in the last place; -infinity at zero, NaN below.
ORPHEUS_INLINE Vec log(Vec x) {
    typedef int Ints __attribute__((vector_size(sizeof(Vec))));
    typedef unsigned Bits __attribute__((vector_size(sizeof(Vec))));
    constexpr unsigned root = 0x3f3504f3;  // the bits of sqrt(1/2)
    const Vec infinity = broadcast(__builtin_inff());
    const auto subnormal = x < broadcast(1.17549435e-38f);
    const Vec scaled = subnormal ? x * broadcast(16777216.0f) : x;
    Bits bits;
    __builtin_memcpy(&bits, &scaled, sizeof bits);
    bits -= root;  // numbers below zero wrap around, to what is not used
    const Bits mantissa = (bits & 0x7fffff) + root;
    const Ints exponent = reinterpret_cast<Ints>(bits) >> 23;
    Vec m, e;
    __builtin_memcpy(&m, &mantissa, sizeof m);
    e = __builtin_convertvector(exponent, Vec) - (subnormal ? broadcast(24.0f) : zero());
    const Vec edge = x < zero() ? broadcast(__builtin_nanf("")) : zero() - infinity;
    const Vec found = x > zero() ? log_of_parts(m - broadcast(1.0f), e) : edge;
    return x < infinity ? found : x;
}

// log(1 + exp(x)) = max(x, 0) + log(1 + t) with t = exp(-|x|) in [0, 1]; error below 1.6 units in the last
// place.
ORPHEUS_INLINE Vec softplus(Vec x) {
    const Vec t = exp(min(x, zero() - x)), one = broadcast(1.0f), half = broadcast(0.5f);
    const auto high = t > broadcast(0.41421356f);  // 1 + t = (1 + (t - 1) / 2) * 2
    return max(zero(), x) + log_of_parts(high ? half * (t - one) : t, high ? one : zero());
}

// 1 / (1 + exp(-x)).
ORPHEUS_INLINE Vec sigmoid(Vec x) { return broadcast(1.0f) / (broadcast(1.0f) + exp(zero() - x)); }

// Below 0.625 the odd polynomial of Cephes, above 1 - 2 / (exp(2 |x|) + 1); error below 2 units in the last place.
ORPHEUS_INLINE Vec tanh(Vec x) {
    const Vec one = broadcast(1.0f), size = max(zero() - x, x), z = x * x;
    Vec p = fma(broadcast(-5.70498872745e-3f), z, broadcast(2.06390887954e-2f));
    p = fma(p, z, broadcast(-5.37397155531e-2f));
    p = fma(p, z, broadcast(1.33314422036e-1f));
    p = fma(p, z, broadcast(-3.33332819422e-1f));
    const Vec small = fma(p * z, x, x), large = one - broadcast(2.0f) / (exp(size + size) + one);
    const Vec signed_large = x < zero() ? zero() - large : large;
    return size < broadcast(0.625f) ? small : signed_large;
}

// The normal distribution's share beyond u, of which h is u^2 / 2: exp(-h) times Mills' ratio; u in [0, 15].
ORPHEUS_INLINE Vec beyond(Vec u, Vec h) {
    const Vec four = broadcast(4.0f), t = four / (four + u), s = t - broadcast(0.6f);
    Vec p = broadcast(1.717714e-2f);
    p = fma(p, s, broadcast(2.663761e-2f));
    p = fma(p, s, broadcast(-3.506275e-2f));
    p = fma(p, s, broadcast(-8.672295e-2f));
    p = fma(p, s, broadcast(1.6796717e-2f));
    p = fma(p, s, broadcast(2.6162875e-1f));
    p = fma(p, s, broadcast(4.7442088e-1f));
    p = fma(p, s, broadcast(5.1405543e-1f));
    p = fma(p, s, broadcast(3.9355993e-1f));
    p = fma(p, s, broadcast(2.2348523e-1f));
    return exp(zero() - h) * (t * p);
}

// erf(v) / v - 1 for z = v^2 in [0, 1].
ORPHEUS_INLINE Vec erf_within(Vec z) {
    Vec p = broadcast(7.853908e-5f);
    p = fma(p, z, broadcast(-8.010209e-4f));
    p = fma(p, z, broadcast(5.1883296e-3f));
    p = fma(p, z, broadcast(-2.6853813e-2f));
    p = fma(p, z, broadcast(1.12835854e-1f));
    p = fma(p, z, broadcast(-3.7612626e-1f));
    return fma(p, z, broadcast(1.28379167e-1f));
}

// Error below 1.5 units in the last place.
ORPHEUS_INLINE Vec erf(Vec x) {
    const Vec one = broadcast(1.0f), size = min(broadcast(6.0f), max(zero() - x, x)), z = size * size;
    const Vec large = one - broadcast(2.0f) * beyond(broadcast(1.41421356f) * size, z);
    const Vec signed_large = x < zero() ? zero() - large : large;
    return size < one ? fma(erf_within(z), x, x) : signed_large;
}

// x times the normal distribution's share below x: 1/2 and what lies between 0 and x, or what lies beyond |x|, to which
// the rounding of x^2 / 2 is given back. Error below 1.1 eps |x|; with a fused multiply-add below 8 units in the last
// place down to x = -12.
ORPHEUS_INLINE Vec gelu(Vec x) {
    const Vec u = min(broadcast(15.0f), max(zero() - x, x)), one = broadcast(1.0f), half = broadcast(0.5f);
    const Vec square = u * u, lost = fma(u, u, zero() - square), v = broadcast(0.70710678f) * x;
    const Vec outside = beyond(u, half * square) * fma(zero() - half, lost, one);
    const Vec inside = fma(half, fma(erf_within(half * square), v, v), half);
    return x * (u < broadcast(0.75f) ? inside : x < zero() ? outside : one - outside);
}

// A scalar function on each lane.
template <class F>
ORPHEUS_INLINE Vec lanewise(Vec x, F f) {
    float lanes[B];
    store(lanes, x);
    for (int i = 0; i < B; ++i) lanes[i] = f(lanes[i]);
    return load(lanes);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
