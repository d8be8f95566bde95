// The arguments of every kernel family, as the module fills them from Python; the same for all instruction sets.
//
// Every member is an Int, a float, or a pointer to floats, doubles, integers or bytes; FIELDS names them, so that the
// module can set them by name.
// Sizes count elements; "block" is the number of channels of one vector.
#pragma once

#include "team.hpp"

namespace orpheus {

// What is done to a result before it is stored: y = act(clamp((sum + bias + residual) * scale + shift)).
// Pointers may be null. `sum` receives the value before scale and shift. `act` is an activation as activate.cpp numbers
// them, 0 for none. `tail` is the number of channels in the last block when they do not fill it, else 0. The lanes beyond
// it are stored as zeros: an activation may move zero, and an infinite input times a weight of zero is not a number.
#define ORPHEUS_EPILOGUE(M) \
    M(Ptr, bias) M(Ptr, residual) M(Ptr, scale) M(Ptr, shift) M(Out, sum) M(float, lo) M(float, hi) M(Int, act) \
    M(float, act_a) M(float, act_b) M(Int, tail)

// Convolution of x [n, groups * in_blocks, in_h, in_w, in_depth] into y [n, groups * out_blocks, out_h, out_w, block].
// in_depth is the block of a blocked input, 1 for a plain one; the last block of a group has last_depth channels.
// Weights: see conv.cpp; `vectors` is the most output blocks of a chunk. `form` and `band` are Winograd's. `padded_w` is direct
// convolution's: the columns of a copy of the input with its pads, 0 for none; `cuts`, too: into how many parts the input
// blocks go, so that the weights of one stay near while rows pass. Two blocks of x lie x_plane pixels apart, those of y
// y_plane: all pixels of an image, or those of a chain's window.
#define ORPHEUS_CONV(M) \
    M(Int, n) M(Int, groups) M(Int, in_blocks) M(Int, in_depth) M(Int, last_depth) M(Int, in_h) M(Int, in_w) \
    M(Int, out_blocks) M(Int, out_h) M(Int, out_w) M(Int, kh) M(Int, kw) M(Int, sh) M(Int, sw) M(Int, dh) \
    M(Int, dw) M(Int, pt) M(Int, pl) M(Int, form) M(Int, band) M(Int, padded_w) M(Int, cuts) M(Int, vectors) M(Int, x_plane) \
    M(Int, y_plane) M(Ptr, x) M(Ptr, w) M(Out, y) M(Out, workspace) ORPHEUS_EPILOGUE(M)

// y [m, n] = a [m, k] * packed + ..., rows of y ldy apart. `batch` products share nothing but their sizes.
#define ORPHEUS_GEMM(M) \
    M(Int, batch) M(Int, m) M(Int, k) M(Int, n) M(Int, a_batch) M(Int, b_batch) M(Int, lda) M(Int, trans_a) \
    M(Int, trans_b) M(Int, packed) M(Int, c_rows) M(Int, c_cols) M(float, alpha) M(float, beta) M(Ptr, a) \
    M(Ptr, b) M(Ptr, c) M(Ptr, residual) M(Out, y) M(Out, workspace) M(float, lo) M(float, hi) M(Int, act) \
    M(float, act_a) M(float, act_b)

// Plain convolution of any kind in two spatial axes: x [n, groups * channels, in_h, in_w], w [groups * filters, k],
// y [n, groups * filters, out_h, out_w]; scale, shift, bias by filter.
#define ORPHEUS_IM2COL(M) \
    M(Int, n) M(Int, groups) M(Int, channels) M(Int, in_h) M(Int, in_w) M(Int, filters) M(Int, out_h) \
    M(Int, out_w) M(Int, kh) M(Int, kw) M(Int, sh) M(Int, sw) M(Int, dh) M(Int, dw) M(Int, pt) M(Int, pl) \
    M(Ptr, x) M(Ptr, w) M(Out, y) M(Out, workspace) ORPHEUS_EPILOGUE(M)

// Convolution of packed tiles, and its transpose; see spatial.cpp. Tiles of tile_h x tile_w among span_d x span_h x span_w
// outputs of a job, which lie step_* pixels apart in y; reach_*: rows and columns of a packed part beyond the tile's.
// `room`: floats of a thread's workspace. `table`: the first row and column of each part, then the jobs.
#define ORPHEUS_SPATIAL(M) \
    M(Int, n) M(Int, groups) M(Int, channels) M(Int, in_d) M(Int, in_h) M(Int, in_w) M(Int, filters) M(Int, out_d) \
    M(Int, out_h) M(Int, out_w) M(Int, sd) M(Int, sh) M(Int, sw) M(Int, tile_h) M(Int, tile_w) M(Int, reach_h) \
    M(Int, reach_w) M(Int, span_d) M(Int, span_h) M(Int, span_w) M(Int, step_d) M(Int, step_h) M(Int, step_w) \
    M(Int, parts) M(Int, jobs) M(Int, room) M(Ints, table) M(Ptr, x) M(Ptr, w) M(Out, y) M(Out, workspace) \
    ORPHEUS_EPILOGUE(M)

// Pooling of x [images, in_h, in_w, depth]; kind 0 is max, 1 average over what is inside, 2 average over all taps but
// those beyond the padded input. A global pooling has one window. `images` counts the blocks of n images; x_plane and
// y_plane are as in a convolution.
#define ORPHEUS_POOL(M) \
    M(Int, n) M(Int, images) M(Int, x_plane) M(Int, y_plane) M(Int, depth) M(Int, in_h) M(Int, in_w) M(Int, out_h) \
    M(Int, out_w) M(Int, kh) M(Int, kw) M(Int, sh) M(Int, sw) M(Int, dh) M(Int, dw) M(Int, pt) M(Int, pl) M(Int, pb) \
    M(Int, pr) M(Int, kind) M(Ptr, x) M(Out, y)

// y = op(x, z) over [outer, channels, inner] elements. z is like x (z_kind 0), one value a channel (1) or a single
// value (2); swapped, it is op(z, x). Unary operators have no z. `blocks` are those of one image; see elementwise.cpp.
#define ORPHEUS_ELEMENTWISE(M) \
    M(Int, outer) M(Int, channels) M(Int, inner) M(Int, block) M(Int, blocks) M(Int, tail) M(Int, op) \
    M(Int, z_kind) M(Int, swapped) M(Ptr, x) M(Ptr, z) M(Ptr, scale) M(Ptr, shift) M(Out, y) M(float, lo) \
    M(float, hi) M(Int, act) M(float, act_a) M(float, act_b)

// Between plain [n, channels, plane] and blocked [n, ceil(channels / block), plane, block].
#define ORPHEUS_REORDER(M) \
    M(Int, n) M(Int, channels) M(Int, plane) M(Int, to_blocked) M(Ptr, x) M(Out, y)

// Softmax over the middle axis of [outer, size, inner]; log 1 gives LogSoftmax.
#define ORPHEUS_SOFTMAX(M) \
    M(Int, outer) M(Int, size) M(Int, inner) M(Int, log) M(Ptr, x) M(Out, y)

// Copies `count` rows of `width` floats, source rows x_stride and target rows y_stride apart.
#define ORPHEUS_COPY(M) \
    M(Int, count) M(Int, width) M(Int, x_stride) M(Int, y_stride) M(Ptr, x) M(Out, y)

// `rounds` multiply-adds of each accumulator of a register tile; one vector a thread is stored to y.
#define ORPHEUS_PEAK(M) M(Int, rounds) M(Out, y)

// Boxes of elements from x to y; see strided.hpp for the table and move.cpp for its pieces. `width` is the bytes of an
// element; pieces of source 1 read `value`.
#define ORPHEUS_MOVE(M) \
    M(Int, pieces) M(Int, width) M(Ints, table) M(Bytes, x) M(Bytes, value) M(BytesOut, y)

// Linear and cubic Resize of x [outer, in_h, in_w, depth]: element i of an axis is the sum of `taps` weighted ones at
// [taps, wanted] positions.
#define ORPHEUS_RESIZE(M) \
    M(Int, outer) M(Int, in_h) M(Int, in_w) M(Int, out_h) M(Int, out_w) M(Int, depth) M(Int, taps_h) M(Int, taps_w) \
    M(Ints, rows) M(Ints, columns) M(Ptr, row_weights) M(Ptr, column_weights) M(Ptr, x) M(Out, y) M(Out, workspace)

// A box of `kept` dimensions of x and y, then one of `reduced` dimensions of x, without lists; `beside`: x is contiguous
// along the last kept one, else along the last reduced one. `count` terms make a result.
#define ORPHEUS_REDUCE(M) \
    M(Int, op) M(Int, kept) M(Int, reduced) M(Int, beside) M(float, count) M(Ints, table) M(Ptr, x) M(Out, y)

// Rows of `size` elements to mean 0 and variance 1; see normalize.cpp.
#define ORPHEUS_NORMALIZE(M) \
    M(Int, rows) M(Int, size) M(Int, rms) M(Int, plane) M(Int, groups) M(float, epsilon) M(Ptr, x) M(Ptr, scale) \
    M(Ptr, shift) M(Out, y) M(Out, mean) M(Out, inverse)

// The loop over time of LSTM (kind 0) and GRU (1, 2); see recurrent.cpp. r and r_h are packed panels, r_size and r_h_size
// floats a direction; state [directions, batch, 2 * hidden] and sums [directions, batch, G * hidden] are scratch.
#define ORPHEUS_RECURRENT(M) \
    M(Int, kind) M(Int, steps) M(Int, batch) M(Int, hidden) M(Int, directions) M(Int, reverse) M(Int, r_size) \
    M(Int, r_h_size) M(Ptr, gates) M(Ptr, r) M(Ptr, r_h) M(Ptr, h_bias) M(Ptr, initial_h) M(Ptr, initial_c) \
    M(Ptr, peepholes) M(Out, state) M(Out, sums) M(Out, y) M(Out, y_h) M(Out, y_c)

// NonMaxSuppression; see nms.cpp. kept, counts and workspace (`boxes` a thread) are of Int.
#define ORPHEUS_NMS(M) \
    M(Int, batches) M(Int, classes) M(Int, boxes) M(Int, most) M(Int, centred) M(Int, has_threshold) \
    M(float, overlap) M(float, threshold) M(Ptr, x) M(Ptr, scores) M(BytesOut, kept) M(BytesOut, counts) \
    M(BytesOut, workspace)

// Weights x [groups, filters, x_channels, taps], by strides, as rows of lanes; see pack.cpp. `places` is [taps, 3], `sums`
// [elements, taps] or null, `rows` the first row of each element or null; with `streamed` they are written past the caches.
#define ORPHEUS_PACK(M) \
    M(Int, groups) M(Int, chunks) M(Int, chunk) M(Int, width) M(Int, last) M(Int, filters) M(Int, channels) \
    M(Int, x_channels) M(Int, depth) M(Int, taps) M(Int, elements) M(Int, x_group) M(Int, x_filter) M(Int, x_channel) \
    M(Int, y_group) M(Int, y_chunk) M(Int, streamed) M(Ints, places) M(Ints, rows) M(Doubles, sums) M(Ptr, x) M(Out, y)

// y = op(x, z) over a box of x, z, y (and Where's condition `left` before y); logic reads left and right, truth values go
// to `truth`. See broadcast.cpp.
#define ORPHEUS_BROADCAST(M) \
    M(Int, op) M(Int, rank) M(Ints, table) M(Ptr, x) M(Ptr, z) M(Bytes, left) M(Bytes, right) M(Out, y) \
    M(BytesOut, truth)

// Gather, GatherND and GatherElements of indices that come at run time; see pick.cpp. `wide`: indices of 64 bits, else 32.
// `fault`: three Ints, the first not zero once an index was outside; the module raises what they say.
#define ORPHEUS_PICK(M) \
    M(Int, outer) M(Int, count) M(Int, positions) M(Int, piece) M(Int, depth) M(Int, index_step) M(Int, wide) \
    M(Ints, table) M(Bytes, x) M(Bytes, indices) M(BytesOut, y) M(BytesOut, fault)
#define ORPHEUS_PICK_ELEMENTS(M) \
    M(Int, rank) M(Int, width) M(Int, size) M(Int, step) M(Int, wide) M(Ints, table) M(Bytes, x) M(Bytes, indices) \
    M(BytesOut, y) M(BytesOut, fault)

// `count` elements of type `from` as type `to`; see cast.cpp for their numbers.
#define ORPHEUS_CAST(M) M(Int, count) M(Int, from) M(Int, to) M(Bytes, x) M(BytesOut, y)

// The place of the largest or smallest along the middle axis, and the `wanted` first in order; see search.cpp.
#define ORPHEUS_EXTREME(M) \
    M(Int, outer) M(Int, size) M(Int, inner) M(Int, smallest) M(Int, last) M(Ptr, x) M(BytesOut, y)
#define ORPHEUS_TOP_K(M) \
    M(Int, outer) M(Int, size) M(Int, inner) M(Int, wanted) M(Int, largest) M(Ptr, x) M(Out, y) M(BytesOut, indices) \
    M(Out, workspace)

// scale = gain / sqrt(variance + epsilon), shift = bias - mean * scale, of each channel.
#define ORPHEUS_BATCH_NORM(M) \
    M(Int, channels) M(Int, padded) M(float, epsilon) M(Ptr, gain) M(Ptr, bias) M(Ptr, mean) M(Ptr, variance) \
    M(Out, scale) M(Out, shift)

using Ptr = const float*;
using Out = float*;
using Ints = const Int*;
using Doubles = const double*;
using Bytes = const unsigned char*;
using BytesOut = unsigned char*;
#define ORPHEUS_MEMBER(type, name) type name;
struct ConvArgs { ORPHEUS_CONV(ORPHEUS_MEMBER) };
struct GemmArgs { ORPHEUS_GEMM(ORPHEUS_MEMBER) };
struct Im2colArgs { ORPHEUS_IM2COL(ORPHEUS_MEMBER) };
struct SpatialArgs { ORPHEUS_SPATIAL(ORPHEUS_MEMBER) };
struct PoolArgs { ORPHEUS_POOL(ORPHEUS_MEMBER) };
struct ElementwiseArgs { ORPHEUS_ELEMENTWISE(ORPHEUS_MEMBER) };
struct ReorderArgs { ORPHEUS_REORDER(ORPHEUS_MEMBER) };
struct SoftmaxArgs { ORPHEUS_SOFTMAX(ORPHEUS_MEMBER) };
struct CopyArgs { ORPHEUS_COPY(ORPHEUS_MEMBER) };
struct PeakArgs { ORPHEUS_PEAK(ORPHEUS_MEMBER) };
struct MoveArgs { ORPHEUS_MOVE(ORPHEUS_MEMBER) };
struct ResizeArgs { ORPHEUS_RESIZE(ORPHEUS_MEMBER) };
struct ReduceArgs { ORPHEUS_REDUCE(ORPHEUS_MEMBER) };
struct NormalizeArgs { ORPHEUS_NORMALIZE(ORPHEUS_MEMBER) };
struct RecurrentArgs { ORPHEUS_RECURRENT(ORPHEUS_MEMBER) };
struct NmsArgs { ORPHEUS_NMS(ORPHEUS_MEMBER) };
struct BroadcastArgs { ORPHEUS_BROADCAST(ORPHEUS_MEMBER) };
struct PickArgs { ORPHEUS_PICK(ORPHEUS_MEMBER) };
struct PickElementsArgs { ORPHEUS_PICK_ELEMENTS(ORPHEUS_MEMBER) };
struct CastArgs { ORPHEUS_CAST(ORPHEUS_MEMBER) };
struct ExtremeArgs { ORPHEUS_EXTREME(ORPHEUS_MEMBER) };
struct TopKArgs { ORPHEUS_TOP_K(ORPHEUS_MEMBER) };
struct BatchNormArgs { ORPHEUS_BATCH_NORM(ORPHEUS_MEMBER) };
struct PackArgs { ORPHEUS_PACK(ORPHEUS_MEMBER) };
#undef ORPHEUS_MEMBER

// One row a kernel: its name in Python and in the table, and its arguments.
#define ORPHEUS_KERNELS(K) \
    K(conv, ConvArgs, ORPHEUS_CONV) \
    K(pointwise, ConvArgs, ORPHEUS_CONV) \
    K(depthwise, ConvArgs, ORPHEUS_CONV) \
    K(winograd, ConvArgs, ORPHEUS_CONV) \
    K(strassen, ConvArgs, ORPHEUS_CONV) \
    K(strassen2, ConvArgs, ORPHEUS_CONV) \
    K(im2col, Im2colArgs, ORPHEUS_IM2COL) \
    K(spatial, SpatialArgs, ORPHEUS_SPATIAL) \
    K(gemm, GemmArgs, ORPHEUS_GEMM) \
    K(pool, PoolArgs, ORPHEUS_POOL) \
    K(elementwise, ElementwiseArgs, ORPHEUS_ELEMENTWISE) \
    K(reorder, ReorderArgs, ORPHEUS_REORDER) \
    K(softmax, SoftmaxArgs, ORPHEUS_SOFTMAX) \
    K(copy, CopyArgs, ORPHEUS_COPY) \
    K(peak, PeakArgs, ORPHEUS_PEAK) \
    K(move, MoveArgs, ORPHEUS_MOVE) \
    K(resize, ResizeArgs, ORPHEUS_RESIZE) \
    K(reduce, ReduceArgs, ORPHEUS_REDUCE) \
    K(normalize, NormalizeArgs, ORPHEUS_NORMALIZE) \
    K(recurrent, RecurrentArgs, ORPHEUS_RECURRENT) \
    K(nms, NmsArgs, ORPHEUS_NMS) \
    K(broadcast_op, BroadcastArgs, ORPHEUS_BROADCAST) \
    K(pick, PickArgs, ORPHEUS_PICK) \
    K(pick_elements, PickElementsArgs, ORPHEUS_PICK_ELEMENTS) \
    K(cast, CastArgs, ORPHEUS_CAST) \
    K(extreme, ExtremeArgs, ORPHEUS_EXTREME) \
    K(top_k, TopKArgs, ORPHEUS_TOP_K) \
    K(batch_norm, BatchNormArgs, ORPHEUS_BATCH_NORM) \
    K(pack, PackArgs, ORPHEUS_PACK)

// One row a kernel that computes spans of rows too, as name_rows: these can be links of a chain.
#define ORPHEUS_ROWS(K) \
    K(conv, ConvArgs) \
    K(pointwise, ConvArgs) \
    K(depthwise, ConvArgs) \
    K(pool, PoolArgs)

#define ORPHEUS_ENTRY(name, args, fields) Kernel name;
#define ORPHEUS_ROWS_ENTRY(name, args) Rows name##_rows;
// The kernels of one instruction set, the block it computes in, and its register tile.
struct Table {
    Int block, tile_pixels, tile_vectors, short_pixels, tall_vectors;
    ORPHEUS_KERNELS(ORPHEUS_ENTRY)
    ORPHEUS_ROWS(ORPHEUS_ROWS_ENTRY)
};
#undef ORPHEUS_ENTRY
#undef ORPHEUS_ROWS_ENTRY

}  // namespace orpheus
