// A walk over a box of elements, for operands whose dimensions have a stride each.
//
// A table of integers describes the box, outermost dimension first: `rank` sizes, `rank` places of lists (0 where there
// is none), and `rank` strides of each operand, all counted in elements. A list replaces the strides of operand 0 along
// its dimension: element i lies list[i] further. Lists stand in the same array of integers, at the place named.
// orpheus_openmp.strided writes these tables, with as few dimensions as the operands allow.
#pragma once

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

constexpr int max_rank = 8;  // of a box; orpheus_openmp.strided.MAX_RANK

struct Box {
    const Int* table;
    Int rank;
    const Int* lists;  // what places of lists count from

    ORPHEUS_INLINE Int size(Int d) const { return table[d]; }
    ORPHEUS_INLINE Int stride(int operand, Int d) const { return table[(2 + operand) * rank + d]; }
    ORPHEUS_INLINE const Int* list(Int d) const { return table[rank + d] ? lists + table[rank + d] : nullptr; }
    ORPHEUS_INLINE Int offset(int operand, Int d, Int i) const {
        return operand == 0 && table[rank + d] ? lists[table[rank + d] + i] : i * stride(operand, d);
    }
};

// The offsets of N operands along the first `walked` dimensions of a box, from row `row` on.
template <int N>
struct Walk {
    const Box& box;
    Int walked;
    Int at[max_rank];
    Int offset[N];

    ORPHEUS_INLINE Walk(const Box& b, Int dimensions, Int row) : box(b), walked(dimensions), offset{} {
        for (Int d = walked - 1; d >= 0; --d) {
            at[d] = row % box.size(d);
            row /= box.size(d);
            for (int o = 0; o < N; ++o) offset[o] += box.offset(o, d, at[d]);
        }
    }
    ORPHEUS_INLINE void next() {
        for (Int d = walked - 1; d >= 0; --d) {
            const Int from = at[d], to = from + 1 < box.size(d) ? from + 1 : 0;
            for (int o = 0; o < N; ++o) offset[o] += box.offset(o, d, to) - box.offset(o, d, from);
            at[d] = to;
            if (to) return;
        }
    }
};

ORPHEUS_INLINE Int rows_of(const Box& box, Int walked) {
    Int rows = 1;
    for (Int d = 0; d < walked; ++d) rows *= box.size(d);
    return rows;
}

// Calls run(walk, first, count) for this thread's share of a box: elements [first, first + count) of dimension `last`
// at each position of the walk. Long rows are cut, so that threads can share one.
template <int N, class F>
ORPHEUS_INLINE void each_run(const Box& box, Int last, const Team& team, F run) {
    constexpr Int longest = 4096;
    const Int size = box.size(last), cuts = ceil_div(size, longest);
    const Range range = share(rows_of(box, last) * cuts, team);
    if (range.begin == range.end) return;
    Walk<N> walk(box, last, range.begin / cuts);
    for (Int i = range.begin, cut = range.begin % cuts; i < range.end; ++i) {
        run(walk, cut * longest, least(longest, size - cut * longest));
        if (++cut == cuts) {
            cut = 0;
            walk.next();
        }
    }
}

template <int N, class F>
ORPHEUS_INLINE void each_run(const Box& box, const Team& team, F run) {
    each_run<N>(box, box.rank - 1, team, run);
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
