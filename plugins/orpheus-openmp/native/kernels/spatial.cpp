// Convolution by spatial packing, and its transpose, on plain tensors of one to three spatial axes; any kernel, stride,
// dilation, padding and group.
//
// Layout: x [n, channels, d, h, w], y [n, filters, d, h, w]. A tile of output pixels has the part of the input that it
// sees copied once, pads included, into planes of one pitch: [channel, kernel slice][part][row][pitch]. A part holds every
// sh-th row and sw-th column, so that each kernel element reads a run of neighbours, whatever the strides, at an offset
// that `table` lists. A row of outputs then begins one pitch after the one before: all rows of a tile are one run of
// positions, of which those between two rows are computed and dropped. Unlike im2col no value is copied for each of the
// kernel's elements.
// A transposed convolution is one job for each residue of the output's position by the strides: a convolution of stride
// 1 with the kernel elements that meet there, whose results lie `step` pixels apart. A convolution is one job.
// Weights [job][group][tile of filters][channel, slice, element][T]. Order of the loops: panel of 2 B positions (its
// inputs stay in L1), tile of T filters (their weights come from L2), channels, kernel slices, kernel elements.
// Threads: equal runs of (image, group, slice, tile, job, tile of filters).
// Measured on Zen 4, share of the 117 GFLOP/s of one core: 3x3 90 % at 56x56 and 75 % at 7x7 (vectors that the image does
// not fill), stride 2 80 %, 1x1 81 %, stem 7x7 83 %, one axis of 9 taps 96 %, 3x3x3 89 %; transposed 4x4 of stride 2 82 %,
// 2x2 58 % (one tap a job: results are stored one by one). im2col reaches 54 to 78 % of the two-axis layers.

#include "rows.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

constexpr Int wide = panel + B;  // a run of results may begin anywhere in a panel, and is read by whole vectors

// One job of the table: counts of outputs, where the first lies, and the kernel elements that it sums.
struct Job {
    const Int* at;
    enum Field { length, weights, origin_d, origin_h, origin_w, count_d, count_h, count_w, slices, elements, lists };
    ORPHEUS_INLINE Int operator[](Field field) const { return at[field]; }
    ORPHEUS_INLINE const Int* slice_offsets() const { return at + lists; }
    ORPHEUS_INLINE const Int* offsets() const { return at + lists + at[slices]; }
};

// Tile [h0, h0 + h) x [w0, w0 + w) of the outputs of slice d.
struct Place {
    Int image, group, d, h0, w0, h, w;
};

// sums[t][j] = the products of filter t at position j. x is the first channel's plane at the first position.
template <int T, int V>
__attribute__((noinline)) void products(const float* x, const float* w, Int planes, Int plane, const Int* offsets,
                                        Int count, float (*sums)[wide]) {
    Vec acc[V][T];
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[v][t] = zero();
    }
    for (Int c = 0; c < planes; ++c, x += plane) {
        for (Int i = 0; i < count; ++i, w += T) {
            __asm__("" : "+r"(w));  // or GCC would keep scalars for the next steps, and spill accumulators
            const float* from = x + offsets[i];
            Vec values[V];
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) values[v] = load(from + v * B);
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) {
                const Vec weight = broadcast(w[t]);
                ORPHEUS_UNROLL
                for (int v = 0; v < V; ++v) acc[v][t] = fma(weight, values[v], acc[v][t]);
            }
        }
    }
    ORPHEUS_UNROLL
    for (int t = 0; t < T; ++t) {
        ORPHEUS_UNROLL
        for (int v = 0; v < V; ++v) store(&sums[t][v * B], acc[v][t]);
    }
}

using Products = void (*)(const float*, const float*, Int, Int, const Int*, Int, float (*)[wide]);

template <int... T>
ORPHEUS_INLINE Products pick(Int filters, Int vectors, Numbers<T...>) {
    static_assert(max_vectors == 2);
    static constexpr Products all[2][max_pixels] = {{&products<T, 1>...}, {&products<T, 2>...}};
    return all[vectors - 1][filters - 1];
}

// `count` values of a row of x from column `column` on, `stride` apart, zeros where there are none.
void pack_row(const float* row, Int width, Int column, Int stride, Int count, float* to) {
    const Int before = column < 0 ? least(count, ceil_div(-column, stride)) : 0;
    const Int inside = column < width ? least(count, ceil_div(width - column, stride)) : 0;
    Int j = 0;
    for (; j < before; ++j) to[j] = 0.0f;
    if (stride == 1 && j < inside) copy_floats(to + j, row + column + j, inside - j);
    else
        for (; j < inside; ++j) to[j] = row[column + j * stride];
    for (j = most(before, inside); j < count; ++j) to[j] = 0.0f;
}

// The planes that the tile at `place` sees.
void pack(const SpatialArgs& a, const Job& job, const Place& place, Int rows, Int pitch, float* to) {
    const Int area = a.in_h * a.in_w;
    const float* image = a.x + (place.image * a.groups + place.group) * a.channels * a.in_d * area;
    for (Int c = 0; c < a.channels; ++c, image += a.in_d * area)
        for (Int k = 0; k < job[Job::slices]; ++k) {
            const Int slice = place.d * a.sd + job.slice_offsets()[k];
            const float* x = slice >= 0 && slice < a.in_d ? image + slice * area : nullptr;
            for (Int part = 0; part < a.parts; ++part) {
                const Int top = place.h0 * a.sh + a.table[2 * part], left = place.w0 * a.sw + a.table[2 * part + 1];
                for (Int i = 0; i < rows; ++i, to += pitch) {
                    const Int ih = top + i * a.sh;
                    const bool inside = x && ih >= 0 && ih < a.in_h;
                    pack_row(inside ? x + ih * a.in_w : nullptr, inside ? a.in_w : 0, left, a.sw, pitch, to);
                }
            }
        }
}

// Where the result of `filter` at the first output of a tile's row lies in y.
ORPHEUS_INLINE Int target(const SpatialArgs& a, const Job& job, const Place& place, Int filter, Int row, Int column) {
    const Int d = place.d * a.step_d + job[Job::origin_d], h = (place.h0 + row) * a.step_h + job[Job::origin_h];
    const Int w = (place.w0 + column) * a.step_w + job[Job::origin_w];
    const Int channel = (place.image * a.groups + place.group) * a.filters + filter;
    return ((channel * a.out_d + d) * a.out_h + h) * a.out_w + w;
}

// Stores positions [first, end) of filters [filter, filter + filters).
void finish(const SpatialArgs& a, const Job& job, const Place& place, Int pitch, Int filter, Int filters, Int first,
            Int end, const float (*sums)[wide]) {
    const Int plane = a.out_d * a.out_h * a.out_w, channel = place.group * a.filters + filter;
    for (Int at = first; at < end;) {
        const Int row = at / pitch, column = at % pitch, run = least(place.w - column, end - at);
        if (run <= 0) {
            at = (row + 1) * pitch;
            continue;
        }
        const Int offset = target(a, job, place, filter, row, column);
        float apart[panel];
        RowFinish f{a.y + offset,
                    plane,
                    run,
                    1.0f,
                    1.0f,
                    a.bias ? a.bias + channel : nullptr,
                    1,
                    0,
                    a.residual ? a.residual + offset : nullptr,
                    a.sum ? a.sum + offset : nullptr,
                    a.scale ? a.scale + channel : nullptr,
                    a.shift ? a.shift + channel : nullptr,
                    a.lo,
                    a.hi,
                    a.act,
                    a.act_a,
                    a.act_b};
        if (a.step_w > 1) {
            f.y = apart;
            f.ldy = 0;
        }
        for (Int t = 0; t < filters; ++t) {
            for (Int j = 0; j < run; j += B) end_vector(load(&sums[t][at - first + j]), f, t, j, run - j);
            if (a.step_w > 1)
                for (Int j = 0; j < run; ++j) a.y[offset + t * plane + j * a.step_w] = apart[j];
        }
        at += run;
    }
}

}  // namespace

void spatial(const void* args, Team& team) {
    const SpatialArgs& a = *static_cast<const SpatialArgs*>(args);
    const Int pitch = a.tile_w + a.reach_w, rows = a.tile_h + a.reach_h, plane = a.parts * rows * pitch;
    const Int down = ceil_div(a.span_h, a.tile_h), across = ceil_div(a.span_w, a.tile_w);
    const Tiling tiling(a.filters);
    float* packed = a.workspace + team.rank * a.room;
    const Range range = share(a.n * a.groups * a.span_d * down * across * a.jobs * tiling.count, team);
    Int there = -1, there_d = 0;  // the tile whose input is packed, and the job's first slice
    for (Int unit = range.begin, run; unit < range.end; unit += run) {
        const Int chunk = unit % tiling.count, index = unit / tiling.count % a.jobs;
        const Int tile = unit / tiling.count / a.jobs, column = tile % across, row = tile / across % down;
        const Int slice = tile / across / down;
        run = least(tiling.count - chunk, range.end - unit);
        Job job{a.table + 2 * a.parts};
        for (Int i = 0; i < index; ++i) job.at += job[Job::length];
        Place place{slice / a.span_d / a.groups, slice / a.span_d % a.groups, slice % a.span_d,
                    row * a.tile_h, column * a.tile_w, 0, 0};
        place.h = least(a.tile_h, job[Job::count_h] - place.h0);
        place.w = least(a.tile_w, job[Job::count_w] - place.w0);
        if (place.d >= job[Job::count_d] || place.h <= 0 || place.w <= 0) continue;
        if (tile != there || job[Job::origin_d] != there_d) {
            pack(a, job, place, rows, pitch, packed);
            there = tile;
            there_d = job[Job::origin_d];
        }
        const Int planes = a.channels * job[Job::slices], sum = planes * job[Job::elements];
        const float* w = a.w + job[Job::weights] + place.group * a.filters * sum;
        const Int positions = (place.h - 1) * pitch + place.w;
        for (Int first = 0; first < positions; first += panel) {
            const Int end = least(first + panel, positions), vectors = end - first > B ? 2 : 1;
            for (Int i = chunk; i < chunk + run; ++i) {
                float sums[max_pixels][wide];
                const Int filter = tiling.begin(i), filters = tiling.begin(i + 1) - filter;
                pick(filters, vectors, UpTo<max_pixels>{})(packed + first, w + filter * sum, planes, plane,
                                                           job.offsets(), job[Job::elements], sums);
                finish(a, job, place, pitch, filter, filters, first, end, sums);
            }
        }
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
