// Plain convolution by im2col and a matrix product: any channels, groups, kernel, stride, dilation and padding.
//
// Layout: x [n, channels, h, w], weights as ONNX has them [filters, channels * taps], y [n, filters, h, w].
// Order of the loops: image, group, panel of output pixels (max_vectors vectors); the columns of a panel are gathered
// once, [channel, tap][panel], and stay in L2 while the filters pass, max_pixels at a time. Threads: equal runs of
// (image, group, panel), each thread with a panel of its own.
// Measured on Zen 4, share of the 117 GFLOP/s of one core: 3x3 66-78 %, stride 2 67-71 %, 1x1 55-64 %, 7x7 stem 54 %.

#include "rows.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// The values of one tap at output pixels [first, first + panel), zeros outside the input or beyond the last pixel.
void gather(const Im2colArgs& a, const float* x, Int r, Int c, Int first, float* to) {
    const Int pixels = least(Int{panel}, a.out_h * a.out_w - first);
    Int oh = first / a.out_w, ow = first % a.out_w;
    for (Int done = 0; done < pixels;) {
        // The pixels of one output row.
        const Int run = least(a.out_w - ow, pixels - done), ih = oh * a.sh - a.pt + r * a.dh;
        const Int iw = ow * a.sw - a.pl + c * a.dw;
        const bool row_inside = ih >= 0 && ih < a.in_h;
        const float* from = x + ih * a.in_w + iw;
        if (row_inside && iw >= 0 && iw + (run - 1) * a.sw < a.in_w) {
            if (a.sw == 1) copy_floats(to + done, from, run);
            else
                for (Int i = 0; i < run; ++i) to[done + i] = from[i * a.sw];
        } else {
            for (Int i = 0; i < run; ++i) {
                const Int column = iw + i * a.sw;
                to[done + i] = row_inside && column >= 0 && column < a.in_w ? from[i * a.sw] : 0.0f;
            }
        }
        done += run;
        ow = 0;
        ++oh;
    }
    for (Int i = pixels; i < panel; ++i) to[i] = 0.0f;
}

}  // namespace

void im2col(const void* args, Team& team) {
    const Im2colArgs& a = *static_cast<const Im2colArgs*>(args);
    const Int taps = a.kh * a.kw, depth = a.channels * taps, plane = a.out_h * a.out_w;
    const Int panels = ceil_div(plane, panel), image = a.in_h * a.in_w;
    float* columns = a.workspace + team.rank * depth * panel;
    const Range range = share(a.n * a.groups * panels, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int p = i % panels, whole = i / panels, group = whole % a.groups, first = p * panel;
        const float* x = a.x + whole * a.channels * image;
        for (Int c = 0; c < a.channels; ++c)
            for (Int tap = 0; tap < taps; ++tap)
                gather(a, x + c * image, tap / a.kw, tap % a.kw, first, columns + (c * taps + tap) * panel);
        const Tiling tiling(a.filters);
        for (Int tile = 0; tile < tiling.count; ++tile) {
            const Int row = tiling.begin(tile), rows = tiling.begin(tile + 1) - row, filter = group * a.filters + row;
            const Int offset = (whole * a.filters + row) * plane + first;
            const Sum sum{a.w + filter * depth, columns, 1, 0, 1, 0, 1, 0, depth, depth, depth, 0, 0};
            row_tile(rows, sum,
                     {a.y + offset,
                      plane,
                      least(Int{panel}, plane - first),
                      1.0f,
                      1.0f,
                      a.bias ? a.bias + filter : nullptr,
                      1,
                      0,
                      a.residual ? a.residual + offset : nullptr,
                      a.sum ? a.sum + offset : nullptr,
                      a.scale ? a.scale + filter : nullptr,
                      a.shift ? a.shift + filter : nullptr,
                      a.lo,
                      a.hi,
                      a.act,
                      a.act_a,
                      a.act_b});
        }
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
