// Everything that only moves elements: Transpose, Slice, Split, Gather with constant indices, Pad, Expand, Tile,
// DepthToSpace, SpaceToDepth, nearest Resize; of elements of 1, 2, 4 or 8 bytes, plain or blocked.
//
// A step is a list of pieces, each a box (strided.hpp) with strides in x and in y:
//   [ints of the piece, rank, source (0 x, 1 value), tiled, offset in x, offset in y, box, lists].
// Where x is contiguous along another dimension than y, the piece is `tiled`: that dimension stands before the last,
// and 16 x 16 squares are turned over in L1, so that both sides are read and written along their lines.
// Rows of up to 16 elements, such as the lanes of a blocked Concat whose inputs begin inside of a block, are copied in a
// loop of their length. Threads: equal runs of rows or squares of each piece. Bound by memory: rows 136 GB/s from L2, short
// ones 26 to 45, squares 22 (Zen 4).

#include "strided.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

constexpr Int side = 16, header = 6;

// Row i of the square is written to y + i * ty; column j was read at x + j * xs.
template <class U>
ORPHEUS_INLINE void turn(const U* x, Int xs, U* y, Int ty, Int ys, Int rows, Int columns) {
    U square[side][side];
    for (Int j = 0; j < columns; ++j)
        for (Int i = 0; i < rows; ++i) square[i][j] = x[j * xs + i];
    for (Int i = 0; i < rows; ++i)
        for (Int j = 0; j < columns; ++j) y[i * ty + j * ys] = square[i][j];
}

template <class U>
void tiled(const Box& box, const U* x, U* y, const Team& team) {
    const Int t = box.rank - 2, last = box.rank - 1, bands = ceil_div(box.size(t), side), columns = box.size(last);
    const Int xs = box.stride(0, last), ys = box.stride(1, last), ty = box.stride(1, t);
    const Range range = share(rows_of(box, t) * bands, team);
    for (Int unit = range.begin; unit < range.end; ++unit) {
        const Walk<2> walk(box, t, unit / bands);
        const Int first = unit % bands * side, rows = least(side, box.size(t) - first);
        const U* from = x + walk.offset[0] + first;
        U* to = y + walk.offset[1] + first * ty;
        for (Int j = 0; j < columns; j += side) {
            const Int count = least(side, columns - j);
            if (rows == side && count == side && ys == 1) turn(from + j * xs, xs, to + j, ty, Int{1}, side, side);
            else turn(from + j * xs, xs, to + j * ys, ty, ys, rows, count);
        }
    }
}

// Rows of S elements, which are fewer than a call of memcpy is worth.
template <class U, int S>
void strips(const U* x, Int xs, U* y, Int ys, Int count) {
    for (Int j = 0; j < count; ++j) __builtin_memcpy(y + j * ys, x + j * xs, S * sizeof(U));
}

template <class U> using Strips = void (*)(const U*, Int, U*, Int, Int);

template <class U, int... S>
ORPHEUS_INLINE Strips<U> find_strips(Int size, Numbers<S...>) {
    static constexpr Strips<U> all[] = {&strips<U, S>...};
    return all[size - 1];
}

// Whether the last dimension is a short row in both, and the one before is no list.
ORPHEUS_INLINE bool short_along(const Box& box) {
    const Int last = box.rank - 1;
    return last > 0 && box.size(last) <= side && box.stride(0, last) == 1 && box.stride(1, last) == 1 &&
           !box.list(last) && !box.list(last - 1);
}

template <class U>
void short_rows(const Box& box, const U* x, U* y, const Team& team) {
    const Int across = box.rank - 2, xs = box.stride(0, across), ys = box.stride(1, across);
    const Strips<U> copy = find_strips<U>(box.size(box.rank - 1), UpTo<side>{});
    each_run<2>(box, across, team, [&](const Walk<2>& walk, Int first, Int count) {
        copy(x + walk.offset[0] + first * xs, xs, y + walk.offset[1] + first * ys, ys, count);
    });
}

template <class U>
void rows(const Box& box, const U* x, U* y, const Team& team) {
    const Int last = box.rank - 1, xs = box.stride(0, last), ys = box.stride(1, last);
    const Int* list = box.list(last);
    each_run<2>(box, team, [&](const Walk<2>& walk, Int first, Int count) {
        const U* from = x + walk.offset[0];
        U* to = y + walk.offset[1] + first * ys;
        if (list) {
            for (Int j = 0; j < count; ++j) to[j * ys] = from[list[first + j]];
            return;
        }
        from += first * xs;
        if (xs == 1 && ys == 1) {
            if (sizeof(U) == sizeof(float) && count == B)
                store(reinterpret_cast<float*>(to), load(reinterpret_cast<const float*>(from)));
            else
                __builtin_memcpy(to, from, static_cast<unsigned long>(count) * sizeof(U));
        } else if (xs == 0 && ys == 1) {
            const U value = *from;
            for (Int j = 0; j < count; ++j) to[j] = value;
        } else {
            for (Int j = 0; j < count; ++j) to[j * ys] = from[j * xs];
        }
    });
}

template <class U>
void pieces(const MoveArgs& a, const Team& team) {
    const Int* at = a.table;
    for (Int i = 0; i < a.pieces; ++i, at += at[0]) {
        const Box box{at + header, at[1], at};
        const U* x = reinterpret_cast<const U*>(at[2] ? a.value : a.x) + at[4];
        U* y = reinterpret_cast<U*>(a.y) + at[5];
        if (at[3]) tiled(box, x, y, team);
        else if (short_along(box)) short_rows(box, x, y, team);
        else rows(box, x, y, team);
    }
}

}  // namespace

void move(const void* args, Team& team) {
    const MoveArgs& a = *static_cast<const MoveArgs*>(args);
    switch (a.width) {
        case 1: return pieces<std::uint8_t>(a, team);
        case 2: return pieces<std::uint16_t>(a, team);
        case 4: return pieces<std::uint32_t>(a, team);
        case 8: return pieces<std::uint64_t>(a, team);
        default: return;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
