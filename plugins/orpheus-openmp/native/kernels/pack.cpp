// Constant weights in the order in which the multiplying kernels read them, once a session.
//
// A lane is a filter: the result is rows of `width` floats, [group][chunk of filters][row], rows ordered [block of
// `depth` channels][element][channel of the block], the last block with the channels that are left. Element e of a
// channel is tap e of the weights, or with `sums` [elements, taps] the sum of its row over the taps, in doubles,
// rounded once (Winograd's transform, Strassen's sums). A tap is three integers: how many filters and channels further
// on it lies, and how many floats. With `rows`, element e begins at row rows[e] and has all channels. What lies beyond
// the filters or channels that there are is zero. A chunk is `chunk` filters of the source and `width` lanes, in the
// last one `last` lanes. Order of the loops: chunk, a few channels, then filter by filter, since the floats of one
// filter are neighbours. Threads: equal runs of (group, chunk, channels). Bound by the way from lane to lane: 1.3 to 2
// results a nanosecond, right factors of a product 2.5 to 5 (Zen 4).

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

constexpr Int held = 256;  // rows that are summed together: the taps of a line's worth of channels

typedef double Wide __attribute__((vector_size(4 * B)));
typedef float Narrow __attribute__((vector_size(2 * B)));

ORPHEUS_INLINE Wide load_wide(const float* p) {
    Narrow v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Wide);
}

// One chunk of filters of one group.
struct Chunk {
    const float* x;
    float* y;
    Int first, width;  // its first filter, its lanes
};

// Calls put(channel, tap, filter, value) for channels [begin, end) and all lanes and taps.
template <class Put>
ORPHEUS_INLINE void gather(const PackArgs& a, const Chunk& chunk, Int begin, Int end, const Put& put) {
    const auto fetch = [&](Int t, Int first, Int last) {  // filters [first, last) of the chunk
        const Int filter = chunk.first + a.places[3 * t], channel = a.places[3 * t + 1];
        const Int given = most(least(a.filters - filter, last), first);
        const Int stop = most(least(a.x_channels - channel, end), begin);
        const float* x = chunk.x + filter * a.x_filter + channel * a.x_channel + a.places[3 * t + 2];
        if (a.x_filter == 1) {
            for (Int c = begin; c < stop; ++c)
                for (Int f = first; f < given; ++f) put(c, t, f, x[c * a.x_channel + f]);
        } else {
            for (Int f = first; f < given; ++f)
                for (Int c = begin; c < stop; ++c) put(c, t, f, x[f * a.x_filter + c * a.x_channel]);
        }
        for (Int c = begin; c < end; ++c)
            for (Int f = c < stop ? given : first; f < last; ++f) put(c, t, f, 0.0f);
    };
    // Taps that are neighbours share lines. Few filters at once, since their lines fall into few sets of L1 where filters
    // lie a power of two apart.
    const Int at_once = a.taps > 1 ? least(Int{8}, chunk.width) : chunk.width;
    for (Int f = 0; f < chunk.width; f += at_once)
        for (Int t = 0; t < a.taps; ++t) fetch(t, f, f + at_once);
}

// Channels in the block of this one: its elements lie so many rows apart.
ORPHEUS_INLINE Int depth_at(const PackArgs& a, Int channel) {
    return least(a.depth, a.channels - channel / a.depth * a.depth);
}

// The row of a channel's first element.
ORPHEUS_INLINE Int row_of(const PackArgs& a, Int channel) {
    const Int before = channel / a.depth * a.depth;
    return before * a.elements + channel - before;
}

template <int V>
void copied(const PackArgs& a, const Chunk& chunk, Int begin, Int end) {
    const Int depth = depth_at(a, begin);
    float* y = chunk.y + row_of(a, begin) * V * B;
    gather(a, chunk, begin, end, [&](Int c, Int t, Int f, float value) { y[(t * depth + c - begin) * V * B + f] = value; });
}

template <int V>
void summed(const PackArgs& a, const Chunk& chunk, Int begin, Int end) {
    constexpr Int width = V * B, parts = 2 * V;
    float taps[held * width];
    const Int stride = (end - begin) * width;  // from tap to tap
    gather(a, chunk, begin, end,
           [&](Int c, Int t, Int f, float value) { taps[t * stride + (c - begin) * width + f] = value; });
    Wide wide[held * parts];  // of one channel, widened once for all elements
    for (Int c = begin; c < end; ++c) {
        const float* from = taps + (c - begin) * width;
        for (Int t = 0; t < a.taps; ++t) {
            ORPHEUS_UNROLL
            for (int i = 0; i < parts; ++i) wide[t * parts + i] = load_wide(from + t * stride + i * B / 2);
        }
        const Int row = row_of(a, c), step = depth_at(a, c);  // of the first element, and from element to element
        for (Int e = 0; e < a.elements; ++e) {
            float* y = chunk.y + (a.rows ? a.rows[e] + c : row + e * step) * width;
            Wide sum[parts] = {};
            for (Int t = 0; t < a.taps; ++t) {
                const double factor = a.sums[e * a.taps + t];
                if (factor == 0.0) continue;
                ORPHEUS_UNROLL
                for (int i = 0; i < parts; ++i) sum[i] += factor * wide[t * parts + i];
            }
            ORPHEUS_UNROLL
            for (int i = 0; i < parts; ++i) {
                const Narrow rounded = __builtin_convertvector(sum[i], Narrow);
                __builtin_memcpy(y + i * B / 2, &rounded, sizeof rounded);
            }
        }
    }
}

}  // namespace

void pack(const void* args, Team& team) {
    const PackArgs& a = *static_cast<const PackArgs*>(args);
    // Channels at a time; those of a block are together, so that what is written lies in one piece.
    const Int most_rows = a.sums ? most(least(held / a.taps, Int{line}), Int{1}) : most(64 / a.taps, Int{line});
    const Int step = least(a.depth, most_rows), in_block = ceil_div(a.depth, step);
    const Int blocks = ceil_div(a.channels, a.depth), pieces = blocks * in_block;
    const Range range = share(a.groups * a.chunks * pieces, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int group = i / pieces / a.chunks, index = i / pieces % a.chunks, piece = i % pieces;
        const Int start = piece / in_block * a.depth, block_end = least(start + a.depth, a.channels);
        const Int begin = start + piece % in_block * step, end = least(begin + step, block_end);
        if (begin >= end) continue;
        const Chunk chunk{a.x + group * a.x_group, a.y + group * a.y_group + index * a.y_chunk, index * a.chunk,
                          index + 1 < a.chunks ? a.width : a.last};
        const bool narrow = chunk.width == B;
        if (a.sums) (narrow ? summed<1> : summed<max_vectors>)(a, chunk, begin, end);
        else (narrow ? copied<1> : copied<max_vectors>)(a, chunk, begin, end);
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
