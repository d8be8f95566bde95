// How rows of pixels, and blocks of filters, are shared out to register tiles.
#pragma once

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

// The most pixels of a tile of so many vectors.
ORPHEUS_INLINE Int pixels_of(Int vectors) { return vectors > max_vectors ? short_pixels : max_pixels; }

// A row of pixels, or of blocks, as the fewest tiles of `most`, as equal as can be: tile i begins at begin(i), the first
// `wide` tiles have one more than the others.
struct Tiling {
    Int count, least_size, wide;
    ORPHEUS_INLINE explicit Tiling(Int size, Int most = max_pixels)
        : count(ceil_div(size, most)), least_size(size / count), wide(size - least_size * count) {}
    ORPHEUS_INLINE Int begin(Int i) const { return i * least_size + least(i, wide); }
    ORPHEUS_INLINE Int size(Int i) const { return least_size + (i < wide); }
    // The end of the tiles of equal size that begin with tile i.
    ORPHEUS_INLINE Int equal(Int i) const { return i < wide ? wide : count; }
};

}  // namespace orpheus::ORPHEUS_NAMESPACE
