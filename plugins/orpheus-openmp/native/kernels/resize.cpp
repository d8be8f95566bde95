// Linear and cubic Resize of the two middle axes of [outer, in_h, in_w, depth].
//
// Depth is 1 for plain images, the block for blocked ones, the rest of the shape for axes further left. Every axis has
// its positions and weights, [taps][wanted]. For each output row the rows it takes are blended into a scratch line, by
// vectors of its elements; the line is then resampled, by vectors of its depth or of neighbouring results.
// Threads: equal runs of (outer, output row). Bound by the vectors that are blended, plain ones by the gathers. Measured on
// Zen 4, 28x28 to 56x56, a result: blocked 0.34 ns linear, 0.48 cubic; plain 2.2 and 4.0.

#include "rows.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

void blend_rows(const ResizeArgs& a, const float* x, Int row, float* line) {
    const Int width = a.in_w * a.depth;
    for (Int j = 0; j < width; j += B) {
        Vec sum = zero();
        for (Int t = 0; t < a.taps_h; ++t) {
            const float* from = x + a.rows[t * a.out_h + row] * width + j;
            sum = fma(load_upto(from, width - j), broadcast(a.row_weights[t * a.out_h + row]), sum);
        }
        store_upto(line + j, sum, width - j);
    }
}

void blend_columns(const ResizeArgs& a, const float* line, float* y) {
    if (a.depth > 1) {
        for (Int i = 0; i < a.out_w; ++i) {
            for (Int j = 0; j < a.depth; j += B) {
                Vec sum = zero();
                for (Int t = 0; t < a.taps_w; ++t) {
                    const float* from = line + a.columns[t * a.out_w + i] * a.depth + j;
                    sum = fma(load_upto(from, a.depth - j), broadcast(a.column_weights[t * a.out_w + i]), sum);
                }
                store_upto(y + i * a.depth + j, sum, a.depth - j);
            }
        }
        return;
    }
    for (Int i = 0; i < a.out_w; i += B) {
        const Int count = least(Int{B}, a.out_w - i);
        Vec sum = zero();
        for (Int t = 0; t < a.taps_w; ++t) {
            const Int* columns = a.columns + t * a.out_w + i;
            float lanes[B] = {};
            for (Int lane = 0; lane < count; ++lane) lanes[lane] = line[columns[lane]];
            sum = fma(load(lanes), load_upto(a.column_weights + t * a.out_w + i, count), sum);
        }
        store_upto(y + i, sum, count);
    }
}

}  // namespace

void resize(const void* args, Team& team) {
    const ResizeArgs& a = *static_cast<const ResizeArgs*>(args);
    float* line = a.workspace + team.rank * a.in_w * a.depth;
    const Range range = share(a.outer * a.out_h, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int outer = i / a.out_h, row = i % a.out_h;
        blend_rows(a, a.x + outer * a.in_h * a.in_w * a.depth, row, line);
        blend_columns(a, line, a.y + i * a.out_w * a.depth);
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
