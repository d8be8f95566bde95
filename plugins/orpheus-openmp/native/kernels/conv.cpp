// Direct convolution into a blocked result: from a blocked input (any kernel, stride, dilation, padding; groups of
// whole blocks), from a plain input (the first layer of a network), and 1x1 as a matrix product.
//
// Layout: x [n, in blocks, h, w, depth], y [n, out blocks, h, w, B]; weights by chunks of up to `vectors` output blocks, as
// equal as can be, the larger ones first: [chunk][in block][kernel row][kernel column][depth][vectors * B],
// the last input block with the channels that it has.
// Order of the loops: image, group, chunk, output row, tile of pixels; inside a tile as in tile.hpp. The weights of a
// chunk stay in L2 while the rows pass. Pads cost nothing inside: rows outside the input are left out of the sum, and
// a tile at the left or right edge reads a copy of its window with zeros around it, or, where many tiles are at an edge and
// many chunks use them (padded_w), the whole input is copied once with columns of zeros.
// 1x1: pixels of an image are one row, gathered first where a stride leaves some out; input channels are cut so that the
// weights of a cut stay in L1.
// Input channels of larger kernels are cut where the weights of a chunk would fill L2, or so that those of a cut stay in an L1
// of more than 32 KB. Rows of 7 to 9 pixels take chunks of three blocks where vectors are whole: 7 x 3 and 9 x 3 accumulators
// reach 178 and 184 GFLOP/s there from L1, 7 x 2 163, 14 x 2 183. While the tiles of one cut pass, they
// fetch the weights of the next into L2, since a network's weights come from memory.
// Threads: equal runs of (image, group, chunk, row or tile). Those that share out chunks read what another core wrote, too: in
// the first chunk of a 1x1 each tile fetches the input of the next, rather than weights (two cores of an Intel server, 150 ns
// apart: MobileNetV1 1 % faster, MobileNetV2 2 %, ResNet-50 alike).
// Measured on Zen 4, cold weights, share of the 117 GFLOP/s of one core: 1x1 93-99 %, with 16 input channels 84 %; strided
// 1x1 94 %; 3x3 stride 2 92-96 %; 5x5, 1x7, 3x1 98 % and more (pads are not computed); 7x7 stem 94 %, 3x3 stem 86 %.
// On an Intel server's core (214 GFLOP/s, by `orpheus profile` of ResNets): 1x1 66-79 %, 60 % where 4 MB of weights come from
// memory; 3x3 with 512 channels at 7x7 75 %, 72 % by 7 x 2, 54 % before the weights of a cut stayed in its L1 of 48 KB;
// stride 2 65-78 %.

#include "tile.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// rows[v - 1][t - 1] is the tile of t pixels and v vectors.
template <int P, int... T>
ORPHEUS_INLINE TileFunction pick(Int vectors, Int pixels, Numbers<T...>) {
    static_assert(max_vectors == 2);
    static constexpr TileFunction rows[2][max_pixels] = {{&tile<T, 1, P>...}, {&tile<T, 2, P>...}};
    return rows[vectors - 1][pixels - 1];
}

template <int P, int... T>
ORPHEUS_INLINE TileFunction pick_tall(Int pixels, Numbers<T...>) {
    static constexpr TileFunction row[short_pixels] = {&tile<T, tall_vectors, P>...};
    return row[pixels - 1];
}

template <int P>
ORPHEUS_INLINE TileFunction tile_of(Int vectors, Int pixels) {
    if (vectors == tall_vectors) return pick_tall<P>(pixels, UpTo<short_pixels>{});
    return pick<P>(vectors, pixels, UpTo<max_pixels>{});
}

}  // namespace

TileFunction find_tile(Int pixel_stride, Int vectors, Int pixels) {
    switch (pixel_stride) {
        case B: return tile_of<B>(vectors, pixels);
        case 2 * B: return tile_of<2 * B>(vectors, pixels);
        case 1: return tile_of<1>(vectors, pixels);
        case 2: return tile_of<2>(vectors, pixels);
        default: return tile_of<0>(vectors, pixels);
    }
}

namespace {

// Floats of weights that may stay in L1 beside the input and the result: half of 32 KB.
constexpr Int l1_weights = 4096;

// Where in y, and with which parameters, output block `block` of image `image` is stored, from pixel `pixel` on.
Finish finish_at(const ConvArgs& a, Int image, Int block, Int pixel) {
    const Int plane = a.y_plane * B;
    const Int offset = (image * a.groups * a.out_blocks + block) * plane + pixel * B;
    const Int channel = block * B;
    return {a.y + offset,
            plane,
            a.bias ? a.bias + channel : nullptr,
            a.residual ? a.residual + offset : nullptr,
            a.scale ? a.scale + channel : nullptr,
            a.shift ? a.shift + channel : nullptr,
            a.sum ? a.sum + offset : nullptr,
            a.lo,
            a.hi,
            a.act,
            a.act_a,
            a.act_b,
            false,
            false};
}

// The channels beyond the tensor's, which only the last block has.
void clear_tail(const ConvArgs& a, Int block, Int vectors, const Finish& f, Int pixels) {
    if (!a.tail || block + vectors != a.groups * a.out_blocks) return;
    const Int last = (vectors - 1) * f.vector_stride;
    zero_tail(f.y + last, pixels, a.tail);
    if (f.sum) zero_tail(f.sum + last, pixels, a.tail);
}

// A window of columns [first, first + width) of rows [row, row + rows * dh) copied with zeros outside the input.
void copy_window(const ConvArgs& a, const float* x, Int blocks, Int first, Int width, Int rows, Int row_stride, float* to) {
    const Int depth = a.in_depth, block = a.x_plane * depth;
    const Int left = least(most(-first, Int{0}), width), right = most(most(first + width - a.in_w, Int{0}), Int{0});
    const Int inside = most(width - left - right, Int{0});
    for (Int b = 0; b < blocks; ++b) {
        for (Int r = 0; r < rows; ++r, to += width * depth) {
            const float* from = x + b * block + r * row_stride + (first + left) * depth;
            for (Int i = 0; i < left * depth; ++i) to[i] = 0.0f;
            if (inside) copy_floats(to + left * depth, from, inside * depth);
            for (Int i = (left + inside) * depth; i < width * depth; ++i) to[i] = 0.0f;
        }
    }
}

// Blocks [begin, end) of the input channels, whose weights stay in L1 or L2 while tiles pass.
struct Cut {
    Int begin, end;
};

// Lets the tiles from tile i on, of `tiles` that share one cut's weights, fetch their part of the weights that follow.
void fetch_next(Sum& sum, Int i, Int tiles, const float* next, Int floats) {
    const Int steps = most(sum.blocks * sum.rows * sum.cols, Int{1});
    sum.ahead = ceil_div(floats, tiles * steps * line);
    sum.advance = sum.ahead * line;
    sum.next = next + least(i * steps * sum.ahead * line, floats);
    sum.last = next + floats;
}

// Lets the tiles of so many pixels, one after the other, fetch the input of the next, all blocks of it.
void fetch_input(Sum& sum, Int pixels) {
    const Int floats = pixels * sum.pixel_stride;
    sum.ahead = ceil_div(floats, line);
    sum.advance = sum.block_stride;
    sum.rewind = floats - sum.blocks * sum.block_stride;
    sum.next = sum.x + floats;
    sum.last = sum.x + (sum.blocks + 1) * sum.block_stride;
}

// The output blocks of one chunk, and the tiles of its rows: divisions that all rows of all cuts share.
struct Chunk {
    Int first, vectors;
    Tiling tiling;
    Chunk(const ConvArgs& a, const Tiling& chunks, Int i)
        : first(chunks.begin(i)), vectors(chunks.size(i)), tiling(a.out_w, pixels_of(vectors)) {}
};

// One output row of one chunk, over one cut of the input channels; row `index` of `count` that follow.
void conv_row(const ConvArgs& a, Int image, Int group, const Chunk& chunk, Cut cut, Int row, Int index, Int count,
              float* scratch) {
    const Int depth = a.in_depth, x_block = a.x_plane * depth, taps = a.kh * a.kw;
    const Int vectors = chunk.vectors;
    const Int block = group * a.out_blocks + chunk.first, w_block = taps * depth * vectors * B;
    const float* x = a.x + ((image * a.groups + group) * a.in_blocks + cut.begin) * x_block;
    const float* w = a.w + block * B * taps * ((a.in_blocks - 1) * depth + a.last_depth) + cut.begin * w_block;
    const bool first_cut = cut.begin == 0, last_cut = cut.end == a.in_blocks;
    const Int ih = row * a.sh - a.pt;
    // Kernel rows [r0, r1) meet the input.
    const Int r0 = ih < 0 ? least(ceil_div(-ih, a.dh), a.kh) : 0;
    const Int r1 = most(r0, least(a.kh, ih < a.in_h ? ceil_div(a.in_h - ih, a.dh) : 0));
    const Int rows = r1 - r0, row_stride = a.dh * a.in_w * depth;
    const float* x_row = x + (ih + r0 * a.dh) * a.in_w * depth;
    const Int pixel_stride = a.sw * depth;
    const Tiling& tiling = chunk.tiling;
    for (Int i = 0, to; i < tiling.count; i = to) {
        const Int ow = tiling.begin(i), pixels = tiling.begin(i + 1) - ow;
        const Int iw = ow * a.sw - a.pl, width = (pixels - 1) * a.sw + (a.kw - 1) * a.dw + 1;
        to = i + 1;
        Sum sum{x_row + iw * depth, w, cut.end - cut.begin, x_block, rows, row_stride, a.kw, a.dw * depth, depth,
                last_cut ? a.last_depth : depth, pixel_stride, w_block, r0 * a.kw};
        if (depth == 1 && a.dw == 1) {  // the taps of a row lie side by side, like the channels of a block
            sum.cols = 1;
            sum.depth = sum.last_depth = a.kw;
            sum.first_tap = r0;
        }
        if (rows == 0) {
            sum.blocks = 0;
        } else if (iw < 0 || iw + width > a.in_w) {
            copy_window(a, x_row, sum.blocks, iw, width, rows, row_stride, scratch);
            sum.x = scratch;
            sum.row_stride = width * depth;
            sum.block_stride = rows * width * depth;
        } else {
            const Int end = tiling.equal(i);
            while (to < end && iw + (to - i) * pixels * a.sw + width <= a.in_w) ++to;
        }
        sum.tiles = to - i;
        const Int floats = sum.blocks * w_block;
        fetch_next(sum, index * tiling.count + i, count * tiling.count, w + floats, floats);
        Finish finish = finish_at(a, image, block, row * a.out_w + ow);
        finish.resume = !first_cut;
        finish.partial = !last_cut;
        find_tile(pixel_stride, vectors, pixels)(sum, finish);
        if (last_cut) clear_tail(a, block, vectors, finish, tiling.begin(to) - ow);
    }
}

// Rows [row, row + run) of one chunk.
void conv_run(const ConvArgs& a, Int image, Int group, Int index, Int row, Int run, int rank) {
    const Chunk chunk(a, Tiling(a.out_blocks, a.vectors), index);
    const Int width = (least(a.out_w, Int{max_pixels}) - 1) * a.sw + (a.kw - 1) * a.dw + 1;
    float* scratch = a.workspace ? a.workspace + rank * a.in_blocks * a.kh * width * a.in_depth : nullptr;
    for (Int c = 0; c < a.cuts; ++c) {
        const Cut cut{a.in_blocks * c / a.cuts, a.in_blocks * (c + 1) / a.cuts};
        for (Int i = 0; i < run; ++i) conv_row(a, image, group, chunk, cut, row + i, i, run, scratch);
    }
}

// Whether threads should share out `rows`, and each read all the weights, rather than share out chunks, and each read the
// whole input: what is larger is read once. Half of the input was written by the other thread, for the layer before.
bool by_rows(const ConvArgs& a, Int rows, const Team& team) {
    const Int weights = a.groups * a.out_blocks * a.in_blocks * a.kh * a.kw * B * a.in_depth;
    return even(rows, team) && weights <= a.n * a.groups * a.in_blocks * a.in_h * a.in_w * a.in_depth;
}

}  // namespace

void conv_rows(const void* args, const Span& span) {
    const ConvArgs& a = *static_cast<const ConvArgs*>(args);
    const Int chunks = ceil_div(a.out_blocks, a.vectors);
    for (Int i = 0; i < a.groups * chunks; ++i)
        conv_run(a, span.image, i / chunks, i % chunks, span.begin, span.end - span.begin, span.rank);
}

void conv(const void* args, Team& team) {
    ConvArgs a = *static_cast<const ConvArgs*>(args);
    if (a.padded_w) {
        const Range rows = share(a.n * a.groups * a.in_blocks * a.in_h, team);
        copy_window(a, a.x + rows.begin * a.in_w * a.in_depth, 1, -a.pl, a.padded_w, rows.end - rows.begin,
                    a.in_w * a.in_depth, a.workspace + rows.begin * a.padded_w * a.in_depth);
        wait(team);
        a.x = a.workspace;
        a.workspace = nullptr;
        a.in_w = a.padded_w;
        a.x_plane = a.in_h * a.padded_w;
        a.pl = 0;
    }
    if (by_rows(a, a.n * a.out_h, team))
        return share_rows(a.n, a.out_h, team, [&](const Span& span) { conv_rows(&a, span); });
    const Int chunks = ceil_div(a.out_blocks, a.vectors);
    const Range range = share(a.n * a.groups * chunks * a.out_h, team);
    for (Int begin = range.begin; begin < range.end;) {
        const Int row = begin % a.out_h, run = least(a.out_h - row, range.end - begin);
        const Int chunk = begin / a.out_h % chunks, image = begin / a.out_h / chunks;
        conv_run(a, image / a.groups, image % a.groups, chunk, row, run, team.rank);
        begin += run;
    }
}

namespace {

// The pixels that a strided 1x1 uses, side by side: rows [begin, end) of all blocks' output rows.
void gather(const ConvArgs& a, Range rows, float* to) {
    for (Int i = rows.begin; i < rows.end; ++i) {
        const float* x = a.x + (i / a.out_h * a.in_h + i % a.out_h * a.sh) * a.in_w * B;
        float* y = to + i * a.out_w * B;
        for (Int ow = 0; ow < a.out_w; ++ow) store(y + ow * B, load(x + ow * a.sw * B));
    }
}

// Tiles [tile0, tile0 + run) of one chunk; tile 0 of `tiling` begins at the image's pixel `origin`. The blocks of the
// input at `input` lie x_plane pixels apart. `is_far`: another core wrote a part of it, and nothing has read it here yet.
void pointwise_tiles(const ConvArgs& a, const float* input, Int x_plane, Int image, Int group, Int chunk,
                     const Tiling& tiling, Int origin, Int tile0, Int run, bool is_far = false) {
    const Int x_block = x_plane * a.in_depth;
    // With a few tiles the weights are used too seldom for a cut to pay for storing the sums.
    const Int cut = tiling.count < 8 ? a.in_blocks : most(l1_weights / (a.in_depth * max_vectors * B), Int{1});
    const Int first = chunk * max_vectors, vectors = least(Int{max_vectors}, a.out_blocks - first);
    const Int block = group * a.out_blocks + first;
    const float* x = input + (image * a.groups + group) * a.in_blocks * x_block;
    const float* w = a.w + block * B * ((a.in_blocks - 1) * a.in_depth + a.last_depth);
    const Int w_block = a.in_depth * vectors * B;
    for (Int c = 0; c < a.in_blocks; c += cut) {
        const Int blocks = least(cut, a.in_blocks - c);
        for (Int i = tile0, to; i < tile0 + run; i = to) {
            to = least(tiling.equal(i), tile0 + run);
            const Int pixel = origin + tiling.begin(i), pixels = tiling.begin(i + 1) - tiling.begin(i);
            const Int last = c + blocks < a.in_blocks ? a.in_depth : a.last_depth;
            Sum sum{x + c * x_block + pixel * a.in_depth, w + c * w_block, blocks, x_block, 1, 0, 1, 0,
                    a.in_depth, last, a.in_depth, w_block, 0};
            const Int floats = blocks * w_block;
            if (is_far) fetch_input(sum, pixels);
            else fetch_next(sum, i - tile0, run, w + c * w_block + floats, floats);
            sum.tiles = to - i;
            Finish finish = finish_at(a, image, block, pixel);
            finish.resume = c > 0;
            finish.partial = c + blocks < a.in_blocks;
            find_tile(a.in_depth, vectors, pixels)(sum, finish);
            if (!finish.partial) clear_tail(a, block, vectors, finish, origin + tiling.begin(to) - pixel);
        }
    }
}

}  // namespace

void pointwise_rows(const void* args, const Span& span) {
    const ConvArgs& a = *static_cast<const ConvArgs*>(args);
    const Int chunks = ceil_div(a.out_blocks, max_vectors);
    const Tiling tiling((span.end - span.begin) * a.out_w);
    for (Int i = 0; i < a.groups * chunks; ++i)
        pointwise_tiles(a, a.x, a.x_plane, span.image, i / chunks, i % chunks, tiling, span.begin * a.out_w, 0,
                        tiling.count);
}

void pointwise(const void* args, Team& team) {
    const ConvArgs& a = *static_cast<const ConvArgs*>(args);
    const float* input = a.x;
    if (a.workspace) {
        gather(a, share(a.n * a.groups * a.in_blocks * a.out_h, team), a.workspace);
        wait(team);
        input = a.workspace;
    }
    const Int chunks = ceil_div(a.out_blocks, max_vectors), plane = a.out_h * a.out_w;
    const Tiling tiling(plane);
    if (by_rows(a, tiling.count, team)) {
        const Range tiles = share(tiling.count, team);
        for (Int i = 0; i < a.n * a.groups * chunks; ++i)
            pointwise_tiles(a, input, plane, i / chunks / a.groups, i / chunks % a.groups, i % chunks, tiling, 0,
                            tiles.begin, tiles.end - tiles.begin);
        return;
    }
    const Range range = share(a.n * a.groups * chunks * tiling.count, team);
    for (Int begin = range.begin; begin < range.end;) {
        const Int tile0 = begin % tiling.count, run = least(tiling.count - tile0, range.end - begin);
        const Int chunk = begin / tiling.count % chunks, whole = begin / tiling.count / chunks;
        pointwise_tiles(a, input, plane, whole / a.groups, whole % a.groups, chunk, tiling, 0, tile0, run,
                        team.size > 1 && begin == range.begin);
        begin += run;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
