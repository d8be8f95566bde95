// The scale and shift of a BatchNormalization whose statistics are known only at run time; elementwise.cpp applies them.
//
// Vectors of `channels` values each; scale and shift get zeros up to `padded`, where a blocked tensor's channels end.
// One thread computes them: they are few, 2 % of the bytes of a 7x7 image's layer, less of others.

#include "math.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

void batch_norm(const void* args, Team& team) {
    const BatchNormArgs& a = *static_cast<const BatchNormArgs*>(args);
    if (team.rank) return;
    for (Int c = 0; c < a.padded; ++c) {
        const bool real = c < a.channels;
        const double factor = real ? a.gain[c] / __builtin_sqrt(static_cast<double>(a.variance[c]) + a.epsilon) : 0.0;
        a.scale[c] = static_cast<float>(factor);
        a.shift[c] = real ? static_cast<float>(a.bias[c] - a.mean[c] * factor) : 0.0f;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
