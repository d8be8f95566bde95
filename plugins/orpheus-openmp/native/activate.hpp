// Activations that are more than a clamp.
#pragma once

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

// p[i] = act(p[i]); the numbers are those of orpheus_openmp.epilogue.
void activate(Int act, float a, float b, float* p, Int count);

// Sets lanes `tail` to B of the last channel block to zero, `plane` pixels from y on; nothing when tail is 0.
ORPHEUS_INLINE void zero_tail(float* y, Int plane, Int tail) {
    if (!tail) return;
#if defined(ORPHEUS_ISA_avx512)
    const auto lanes = static_cast<__mmask16>(0xffffu << tail);
    for (Int p = 0; p < plane; ++p) _mm512_mask_storeu_ps(y + p * B, lanes, zero());
#else
    for (Int p = 0; p < plane; ++p)
        for (Int lane = tail; lane < B; ++lane) y[p * B + lane] = 0.0f;
#endif
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
