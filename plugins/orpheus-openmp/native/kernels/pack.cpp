// Constant weights in the order in which the multiplying kernels read them, once a session.
//
// A lane is a filter: the result is rows of `width` floats, [group][chunk of filters][row], rows ordered [block of
// `depth` channels][element][channel of the block], the last block with the channels that are left. Element e of a
// channel is tap e of the weights, or with `sums` [elements, taps] the sum of its row over the taps, in doubles,
// rounded once (Winograd's transform, Strassen's sums). A tap is three integers: how many filters and channels further
// on it lies, and how many floats. With `rows`, element e begins at row rows[e] and has all channels. What lies beyond
// the filters or channels that there are is zero. A chunk is `chunk` filters of the source and `width` lanes, in the
// last one `last` lanes. Where channels lie more than a float apart, all taps begin at the same filter and channel;
// without sums they are all that lies between two channels, with sums there are at most `held` of them.
// Order of the loops: chunk, a few channels, then squares of filters and floats that are turned in registers, since the
// floats of one filter are neighbours; sums are of four channels at once. Threads: equal runs of (group, chunk,
// channels). Results a nanosecond (Zen 4, AVX-512): copies 3.5 to 7, sums 2 to 3.5, where memory takes no more. Where
// they are streamed memory has only to be written: sums 3.2 instead of 2.2 (an Intel server).

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

constexpr Int held = 256;  // rows that are summed together: the taps of a line's worth of channels

typedef double Wide __attribute__((vector_size(4 * B)));

ORPHEUS_INLINE Wide load_wide(const float* p) {
    Half v;
    __builtin_memcpy(&v, p, sizeof v);
    return __builtin_convertvector(v, Wide);
}

// One chunk of filters of one group.
struct Chunk {
    const float* x;
    float* y;
    Int first, width;  // its first filter, its lanes
    bool streamed;     // and whether what is written goes past the caches
};

template <class V> ORPHEUS_INLINE void put(float* p, V v, bool past) {
    if (past) stream(p, v);
    else __builtin_memcpy(p, &v, sizeof v);
}

// Writes the rows of a piece of the weights, at(r) being where row r goes: row r has float r of each filter's run,
// which begins at x + lane * pitch; zero for lanes from `given` on, and in rows from `there` on. Asks for rows in
// order, from the first on for each vector of lanes.
template <int V, class At> void turn(const float* x, Int pitch, Int given, Int there, Int count, bool past, At at) {
    for (int v = 0; v < V; ++v) {
        const Int here = most(least(given - v * B, Int{B}), Int{0});
        const float* from = x + v * B * pitch;
        Int r = 0;
        for (; r + B <= there; r += B) {
            Vec square[B];
            ORPHEUS_UNROLL
            for (int f = 0; f < B; ++f) square[f] = f < here ? load(from + f * pitch + r) : zero();
            transpose(square);
            ORPHEUS_UNROLL
            for (int f = 0; f < B; ++f) put(at(r + f) + v * B, square[f], past);
        }
        for (; r < count; ++r) {
            float* to = at(r) + v * B;
            for (Int f = 0; f < B; ++f) to[f] = f < here && r < there ? from[f * pitch + r] : 0.0f;
        }
    }
}

// The same where the floats of a row are neighbours already, and rows lie `pitch` apart.
template <int V, class At> void keep(const float* x, Int pitch, Int given, Int there, Int count, bool past, At at) {
    for (Int r = 0; r < count; ++r)
        for (int v = 0; v < V; ++v) {
            const Int here = r < there ? most(least(given - v * B, Int{B}), Int{0}) : 0;
            const float* from = x + r * pitch + v * B;
            put(at(r) + v * B, here == B ? load(from) : load_some(from, here), past);
        }
}

// Floats of a channel that are gathered together: those between it and the next, or one where those are other filters'.
ORPHEUS_INLINE Int floats_of(const PackArgs& a) { return a.x_filter == 1 ? 1 : a.x_channel; }

// Channels [begin, end) of the filters, both as far on as `place` says: row c * floats_of(a) + i has float i of
// channel c. `past`: past the caches.
template <int V, class At>
void gather(const PackArgs& a, const Chunk& chunk, const Int* place, Int begin, Int end, bool past, At at) {
    const Int filter = chunk.first + place[0], channel = begin + place[1], each = floats_of(a);
    const Int there = most(least(a.x_channels - channel, end - begin), Int{0}) * each, count = (end - begin) * each;
    const float* x = chunk.x + filter * a.x_filter + channel * a.x_channel;
    if (a.x_filter == 1) keep<V>(x, a.x_channel, a.filters - filter, there, count, past, at);
    else turn<V>(x, a.x_filter, a.filters - filter, there, count, past, at);
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

template <int V> void copied(const PackArgs& a, const Chunk& chunk, Int begin, Int end) {
    const Int depth = depth_at(a, begin), each = floats_of(a);
    float* y = chunk.y + row_of(a, begin) * V * B;
    const bool past = chunk.streamed && B == line;  // vectors of a row are not written one after the other
    if (each > 1) {  // a channel's taps are what lies between it and the next
        gather<V>(a, chunk, a.places, begin, end, past, [=, tap = Int{0}, channel = y](Int r) mutable {
            if (r == 0) tap = 0, channel = y;
            float* row = channel + tap * depth * V * B;
            if (++tap == each) tap = 0, channel += V * B;
            return row;
        });
        return;
    }
    for (Int t = 0; t < a.taps; ++t, y += depth * V * B)
        gather<V>(a, chunk, a.places + 3 * t, begin, end, past, [=](Int r) { return y + r * V * B; });
}

// Elements of N channels from c on; the row of tap t is taps + at[t], a channel's rows are `step` floats apart.
template <int V, int N>
void add_up(const PackArgs& a, const Chunk& chunk, Int c, const float* taps, const Int* at, Int step) {
    constexpr int parts = 2 * V;
    Wide wide[held * parts];  // widened once for all elements; no piece has more than `held` taps
    for (Int t = 0; t < a.taps; ++t)
        ORPHEUS_UNROLL
        for (int i = 0; i < N * parts; ++i)
            wide[t * N * parts + i] = load_wide(taps + at[t] + i / parts * step + i % parts * B / 2);
    const Int row = row_of(a, c), apart = depth_at(a, c);  // of the first element, and from element to element
    for (Int e = 0; e < a.elements; ++e) {
        float* y = chunk.y + (a.rows ? a.rows[e] + c : row + e * apart) * V * B;
        Wide sum[N * parts] = {};
        for (Int t = 0; t < a.taps; ++t) {
            const double factor = a.sums[e * a.taps + t];
            if (factor == 0.0) continue;
            ORPHEUS_UNROLL
            for (int i = 0; i < N * parts; ++i) sum[i] += factor * wide[t * N * parts + i];
        }
        ORPHEUS_UNROLL
        for (int i = 0; i < N * parts; ++i)
            put(y + i * B / 2, __builtin_convertvector(sum[i], Half), chunk.streamed);
    }
}

template <int V> void summed(const PackArgs& a, const Chunk& chunk, Int begin, Int end) {
    constexpr Int width = V * B;
    constexpr int together = max_pixels > 8 ? 4 : 2;  // channels: as many sums as there are registers
    const Int each = floats_of(a), run = (end - begin) * width;
    float taps[held * width];
    Int at[held];
    for (Int t = 0; t < a.taps; ++t) {
        at[t] = each > 1 ? a.places[3 * t + 2] * width : t * run;
        if (each > 1 && t > 0) continue;  // all are there
        float* to = each > 1 ? taps : taps + at[t];
        gather<V>(a, chunk, a.places + 3 * t, begin, end, false, [=](Int r) { return to + r * width; });
    }
    Int c = begin;
    for (; c + together <= end; c += together)
        add_up<V, together>(a, chunk, c, taps + (c - begin) * each * width, at, each * width);
    for (; c < end; ++c) add_up<V, 1>(a, chunk, c, taps + (c - begin) * each * width, at, each * width);
}

}  // namespace

void pack(const void* args, Team& team) {
    const PackArgs& a = *static_cast<const PackArgs*>(args);
    // Channels at a time; those of a block are together, so that what is written lies in one piece.
    const Int summed_rows = most(least(held / most(a.taps, floats_of(a)), Int{line}), Int{1});
    const Int most_rows = a.sums ? summed_rows : most(64 / a.taps, Int{line});
    const Int step = least(a.depth, most_rows), in_block = ceil_div(a.depth, step);
    const Int blocks = ceil_div(a.channels, a.depth), pieces = blocks * in_block;
    const bool streamed = a.streamed && reinterpret_cast<unsigned long>(a.y) % (line * sizeof(float)) == 0;
    const Range range = share(a.groups * a.chunks * pieces, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int group = i / pieces / a.chunks, index = i / pieces % a.chunks, piece = i % pieces;
        const Int start = piece / in_block * a.depth, block_end = least(start + a.depth, a.channels);
        const Int begin = start + piece % in_block * step, end = least(begin + step, block_end);
        if (begin >= end) continue;
        const Chunk chunk{a.x + group * a.x_group, a.y + group * a.y_group + index * a.y_chunk, index * a.chunk,
                          index + 1 < a.chunks ? a.width : a.last, streamed};
        static_assert(max_vectors == 2 && tall_vectors == 3);
        static constexpr void (*ways[2][3])(const PackArgs&, const Chunk&, Int, Int) = {
            {copied<1>, copied<2>, copied<3>}, {summed<1>, summed<2>, summed<3>}};
        ways[a.sums != nullptr][chunk.width / B - 1](a, chunk, begin, end);
    }
    if (streamed) end_stream();
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
