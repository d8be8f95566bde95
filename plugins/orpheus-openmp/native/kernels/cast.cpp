// Cast between the element types of ONNX that processors compute with, float16 and bfloat16 among them.
//
// Contiguous elements of two types; each pair of types is a loop of its own, which the compiler turns into vectors.
// Floats are rounded once, half to even; integers keep their low bits; a float that an integer type cannot hold gives any
// value; what is not zero is true. Threads: equal runs of elements. Bound by memory: 90-105 GB/s from and to L2 on Zen 4
// (AVX-512), 30-42 where one side is float16.

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

using std::uint16_t;
using std::uint32_t;

ORPHEUS_INLINE uint32_t bits_of(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}
ORPHEUS_INLINE float float_of(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

// IEEE half precision in 16 bits.
struct Half {
    uint16_t bits;
};
// The upper half of a float.
struct Brain {
    uint16_t bits;
};
struct Truth {
    unsigned char value;
};

ORPHEUS_INLINE float widened(Half h) {
    const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
    // Normal: exponent and mantissa move by 13 bits and 112 of exponent; below, the mantissa counts steps of 2^-24.
    const uint32_t normal = (rest << 13) + (112u << 23), special = (rest << 13) | 0x7f800000u;
    const uint32_t small = bits_of(static_cast<float>(static_cast<std::int32_t>(rest)) * 0x1p-24f);
    return float_of(sign | (rest >= 0x7c00u ? special : rest >= 0x400u ? normal : small));
}
ORPHEUS_INLINE float widened(Brain b) { return float_of(static_cast<uint32_t>(b.bits) << 16); }

ORPHEUS_INLINE Half halved(float value) {
    const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    // Half to even: add just under half of the last place kept, and one more where that place is odd.
    const uint32_t normal = (rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13;
    // Below 2^-14 adding 0.5 leaves the mantissa in steps of 2^-24, rounded by the addition.
    const uint32_t small = bits_of(float_of(rest) + 0.5f) - 0x3f000000u;
    const uint32_t number = rest < 0x38800000u ? small : normal;
    const uint32_t special = rest > 0x7f800000u ? 0x7e00u | (rest >> 13 & 0x3ffu) : 0x7c00u;
    return {static_cast<uint16_t>(sign | (rest >= 0x477ff000u ? special : number))};
}
ORPHEUS_INLINE Brain shortened(float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, quiet = bits >> 16 | 0x40u;
    return {static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
}

template <class T> ORPHEUS_INLINE T value_of(T x) { return x; }
ORPHEUS_INLINE float value_of(Half x) { return widened(x); }
ORPHEUS_INLINE float value_of(Brain x) { return widened(x); }
ORPHEUS_INLINE unsigned char value_of(Truth x) { return least<unsigned char>(x.value, 1); }

template <class T> constexpr bool is_float = false;
template <> constexpr bool is_float<float> = true;
template <> constexpr bool is_float<double> = true;

template <class T> struct To {
    template <class S> static ORPHEUS_INLINE T from(S x) {
        // Processors turn floats into signed integers of 32 and 64 bits.
        if constexpr (is_float<S> && !is_float<T> && sizeof(T) < 4) return static_cast<T>(static_cast<std::int32_t>(x));
        else if constexpr (is_float<S> && !is_float<T> && sizeof(T) == 4) return static_cast<T>(static_cast<std::int64_t>(x));
        else return static_cast<T>(x);
    }
};
template <> struct To<Half> {
    template <class S> static ORPHEUS_INLINE Half from(S x) { return halved(static_cast<float>(x)); }
};
template <> struct To<Brain> {
    template <class S> static ORPHEUS_INLINE Brain from(S x) { return shortened(static_cast<float>(x)); }
};
template <> struct To<Truth> {
    template <class S> static ORPHEUS_INLINE Truth from(S x) { return {static_cast<unsigned char>(x != 0)}; }
};

template <class S, class T>
void all(const CastArgs& a, Range range) {
    const S* x = reinterpret_cast<const S*>(a.x);
    T* y = reinterpret_cast<T*>(a.y);
    for (Int i = range.begin; i < range.end; ++i) y[i] = To<T>::from(value_of(x[i]));
}

using Loop = void (*)(const CastArgs&, Range);
template <class... T> struct Types {};

template <class S, class... T>
ORPHEUS_INLINE Loop to(Int target, Types<T...>) {
    static constexpr Loop loops[] = {&all<S, T>...};
    return loops[target];
}
template <class... S>
ORPHEUS_INLINE Loop pick(Int source, Int target, Types<S...> types) {
    const Loop loops[] = {to<S>(target, types)...};
    return loops[source];
}

// As orpheus_openmp.manifest_more.NUMBERS lists them.
using Known = Types<float, double, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t, std::uint32_t,
                    std::int64_t, std::uint64_t, Truth, Half, Brain>;

}  // namespace

void cast(const void* args, Team& team) {
    const CastArgs& a = *static_cast<const CastArgs*>(args);
    constexpr Int least_run = 1024;  // threads do not write one cache line
    const Range range = share(ceil_div(a.count, least_run), team);
    pick(a.from, a.to, Known{})(a, {range.begin * least_run, least(range.end * least_run, a.count)});
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
