// Elements that indices of run time choose: Gather and GatherND (whole pieces), GatherElements (one element each).
//
// pick: x [outer, positions, piece], y [outer, count, piece]; an index is a tuple of `depth` numbers, each counted from
// either end of its axis, whose sizes and strides (in pieces) stand in `table`.
// pick_elements: a box (strided.hpp) of x without the axis, and of the indices, which lie as y does.
// An index outside its axis reads nothing: it is told in `fault` (1, the index, the axis' size), which the caller checks.
// Threads: equal runs of pieces or of elements. Bound by memory.

#include "strided.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

template <class I>
ORPHEUS_INLINE bool usable(I& index, Int size, BytesOut fault) {
    if (index < -size || index >= size) {
        Int* told = reinterpret_cast<Int*>(fault);
        __atomic_store_n(told + 1, static_cast<Int>(index), __ATOMIC_RELAXED);
        __atomic_store_n(told + 2, size, __ATOMIC_RELAXED);
        __atomic_store_n(told, Int{1}, __ATOMIC_RELAXED);
        return false;
    }
    if (index < 0) index = static_cast<I>(index + size);
    return true;
}

template <class U> ORPHEUS_INLINE void copy_one(BytesOut y, Bytes x) { __builtin_memcpy(y, x, sizeof(U)); }

template <class I>
void pieces(const PickArgs& a, const Team& team) {
    const I* indices = reinterpret_cast<const I*>(a.indices);
    const Int* sizes = a.table;
    const Int* strides = a.table + a.depth;
    const Range range = share(a.outer * a.count, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const Int outer = i / a.count, tuple = outer * a.index_step + i % a.count;
        Int place = 0;
        bool inside = true;
        for (Int d = 0; d < a.depth && inside; ++d) {
            Int index = indices[tuple * a.depth + d];
            inside = usable(index, sizes[d], a.fault);
            place += index * strides[d];
        }
        if (!inside) continue;
        const Bytes from = a.x + (outer * a.positions + place) * a.piece;
        const BytesOut to = a.y + i * a.piece;
        switch (a.piece) {
            case 1: copy_one<std::uint8_t>(to, from); break;
            case 2: copy_one<std::uint16_t>(to, from); break;
            case 4: copy_one<std::uint32_t>(to, from); break;
            case 8: copy_one<std::uint64_t>(to, from); break;
            default: __builtin_memcpy(to, from, static_cast<unsigned long>(a.piece));
        }
    }
}

template <class U, class I>
void elements(const PickElementsArgs& a, const Team& team) {
    const Box box{a.table, a.rank, a.table};
    const Int xs = box.stride(0, a.rank - 1);
    each_run<2>(box, team, [&](const Walk<2>& walk, Int first, Int count) {
        const U* x = reinterpret_cast<const U*>(a.x) + walk.offset[0] + first * xs;
        const I* indices = reinterpret_cast<const I*>(a.indices) + walk.offset[1] + first;
        U* y = reinterpret_cast<U*>(a.y) + walk.offset[1] + first;
        for (Int i = 0; i < count; ++i) {
            Int index = indices[i];
            if (usable(index, a.size, a.fault)) y[i] = x[i * xs + index * a.step];
        }
    });
}

template <class U>
void elements_of(const PickElementsArgs& a, const Team& team) {
    if (a.wide) elements<U, std::int64_t>(a, team);
    else elements<U, std::int32_t>(a, team);
}

}  // namespace

void pick(const void* args, Team& team) {
    const PickArgs& a = *static_cast<const PickArgs*>(args);
    if (a.wide) pieces<std::int64_t>(a, team);
    else pieces<std::int32_t>(a, team);
}

void pick_elements(const void* args, Team& team) {
    const PickElementsArgs& a = *static_cast<const PickElementsArgs*>(args);
    switch (a.width) {
        case 1: return elements_of<std::uint8_t>(a, team);
        case 2: return elements_of<std::uint16_t>(a, team);
        case 4: return elements_of<std::uint32_t>(a, team);
        case 8: return elements_of<std::uint64_t>(a, team);
        default: return;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
