// Activations and other unary functions on a run of floats, in place. Numbered as in orpheus_openmp.epilogue.
//
// Layout: none; vectors in order, no threads: a kernel's epilogue calls it on lines that it has just written to L1, and
// elementwise.cpp on its shares. Measured on Zen 4, one core, from and to L2, a float: LeakyRelu, HardSigmoid, Abs and
// Floor 0.13 ns (60 GB/s), bound by L2; HardSwish 0.15, Softsign 0.19, Sqrt 0.25, exp 0.37, log and Elu 0.4, Sigmoid
// 0.43, Swish 0.46, Mish 0.49, Gelu with tanh 0.54, Tanh 0.58, erf and Softplus 0.75, exact Gelu 0.83, bound by
// divisions and polynomials.

#include "activate.hpp"

#include "math.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

enum class Act : Int {
    none, leaky_relu, sigmoid, tanh, hard_sigmoid, hard_swish, swish, elu, celu, selu, gelu, gelu_tanh, mish, softplus,
    softsign, thresholded_relu, exp, abs, neg, sqrt, reciprocal, log, erf, floor, ceil
};

template <class F>
ORPHEUS_INLINE void each(float* p, Int count, F f) {
    Int i = 0;
    for (; i + B <= count; i += B) store(p + i, f(load(p + i)));
    if (i < count) store_some(p + i, f(load_some(p + i, count - i)), count - i);
}

// a * (exp(x / a) - 1) below zero, x above. expm1 keeps what exp - 1 would cancel.
ORPHEUS_INLINE Vec elu(Vec x, float alpha, float divisor) {
    return x >= zero() ? x : broadcast(alpha) * expm1(x / broadcast(divisor));
}

}  // namespace

void activate(Int act, float a, float b, float* p, Int count) {
    const Vec va = broadcast(a), vb = broadcast(b), one = broadcast(1.0f);
    switch (static_cast<Act>(act)) {
        case Act::leaky_relu: return each(p, count, [=](Vec x) { return x < zero() ? va * x : x; });
        case Act::sigmoid: return each(p, count, [=](Vec x) { return sigmoid(x); });
        case Act::tanh: return each(p, count, [=](Vec x) { return tanh(x); });
        case Act::hard_sigmoid: return each(p, count, [=](Vec x) { return clamp(fma(va, x, vb), zero(), one); });
        case Act::hard_swish:
            return each(p, count, [=](Vec x) {
                return x * clamp(fma(broadcast(1.0f / 6.0f), x, broadcast(0.5f)), zero(), one);
            });
        case Act::swish: return each(p, count, [=](Vec x) { return x * sigmoid(va * x); });
        case Act::elu: return each(p, count, [=](Vec x) { return elu(x, a, 1.0f); });
        case Act::celu: return each(p, count, [=](Vec x) { return elu(x, a, a); });
        case Act::selu: return each(p, count, [=](Vec x) { return vb * elu(x, a, 1.0f); });
        case Act::gelu: return each(p, count, [=](Vec x) { return gelu(x); });
        case Act::gelu_tanh:  // x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3))
            return each(p, count, [=](Vec x) {
                const Vec inner = x * fma(x * x, broadcast(0.044715f), one);
                return x * sigmoid(broadcast(1.5957691216f) * inner);
            });
        case Act::mish:  // tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); beyond 20 that is 1
            return each(p, count, [=](Vec x) {
                const Vec two = broadcast(2.0f), e = exp(min(broadcast(20.0f), x)), n = e * (e + two);
                return x * (n / (n + two));
            });
        case Act::softplus: return each(p, count, [=](Vec x) { return softplus(x); });
        case Act::softsign: return each(p, count, [=](Vec x) { return x / (one + max(x, zero() - x)); });
        case Act::thresholded_relu:
            return each(p, count, [=](Vec x) {
                return lanewise(x, [=](float v) { return v > a ? v : v == v ? 0.0f : v; });
            });
        case Act::exp: return each(p, count, [=](Vec x) { return exp(x); });
        case Act::abs: return each(p, count, [=](Vec x) { return lanewise(x, [](float v) { return ::fabsf(v); }); });
        case Act::neg: return each(p, count, [=](Vec x) { return lanewise(x, [](float v) { return -v; }); });
        case Act::sqrt: return each(p, count, [=](Vec x) { return lanewise(x, [](float v) { return ::sqrtf(v); }); });
        case Act::reciprocal: return each(p, count, [=](Vec x) { return one / x; });
        case Act::log: return each(p, count, [=](Vec x) { return log(x); });
        case Act::erf: return each(p, count, [=](Vec x) { return erf(x); });
        case Act::floor: return each(p, count, [=](Vec x) { return lanewise(x, [](float v) { return ::floorf(v); }); });
        case Act::ceil: return each(p, count, [=](Vec x) { return lanewise(x, [](float v) { return ::ceilf(v); }); });
        default: return;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
