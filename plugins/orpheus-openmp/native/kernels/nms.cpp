// NonMaxSuppression: boxes of falling score, of which those that overlap one taken before are left out.
//
// boxes [batches, boxes, 4], scores [batches, classes, boxes]. Of each class the candidates above the threshold form a
// heap, from which only as many are taken as are needed; each is compared with those kept so far.
// Threads: equal runs of (batch, class). kept [batch, class, most], counts [batch, class]. Bound by branches: the heap's,
// then the comparisons'. Measured on Zen 4 with 1917 boxes and 90 classes of at most 100 boxes: 22 ns a score where half of
// them are above the threshold, 2.9 ns where one in fifty is.

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

struct Corners {
    float top, left, bottom, right;
};

ORPHEUS_INLINE Corners corners(const float* box, bool centred) {
    if (centred) {
        const float x = box[2] / 2, y = box[3] / 2;
        return {box[0] - x, box[1] - y, box[0] + x, box[1] + y};
    }
    return {least(box[0], box[2]), least(box[1], box[3]), most(box[0], box[2]), most(box[1], box[3])};
}

// Intersection over union; 0 where a box has no area.
ORPHEUS_INLINE float overlap(Corners a, Corners b) {
    const float height = least(a.bottom, b.bottom) - most(a.top, b.top);
    const float width = least(a.right, b.right) - most(a.left, b.left);
    const float first = (a.bottom - a.top) * (a.right - a.left), second = (b.bottom - b.top) * (b.right - b.left);
    const float common = most(height, 0.0f) * most(width, 0.0f), all = first + second - common;
    return first > 0.0f && second > 0.0f && all > 0.0f ? common / all : 0.0f;
}

// Whether candidate a comes before b: the higher score, then the lower index; what is no number comes last.
ORPHEUS_INLINE bool before(const float* scores, Int a, Int b) {
    const float x = scores[a], y = scores[b];
    if (x > y) return true;
    if (x < y) return false;
    const bool x_nan = x != x, y_nan = y != y;
    return x_nan == y_nan ? a < b : y_nan;
}

void sink(const float* scores, Int* heap, Int size, Int at) {
    const Int moved = heap[at];
    for (Int child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && before(scores, heap[child + 1], heap[child])) ++child;
        if (!before(scores, heap[child], moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

Int one_class(const NmsArgs& a, const float* boxes, const float* scores, Int* heap, Int* kept) {
    Int size = 0, count = 0;
    for (Int i = 0; i < a.boxes; ++i)
        if (!a.has_threshold || scores[i] > a.threshold) heap[size++] = i;
    for (Int i = size / 2 - 1; i >= 0; --i) sink(scores, heap, size, i);
    while (size > 0 && count < a.most) {
        const Int best = heap[0];
        heap[0] = heap[--size];
        if (size > 1) sink(scores, heap, size, 0);
        const Corners box = corners(boxes + best * 4, a.centred != 0);
        bool free = true;
        for (Int k = 0; k < count && free; ++k)
            free = overlap(corners(boxes + kept[k] * 4, a.centred != 0), box) <= a.overlap;
        if (free) kept[count++] = best;
    }
    return count;
}

}  // namespace

void nms(const void* args, Team& team) {
    const NmsArgs& a = *static_cast<const NmsArgs*>(args);
    Int* heap = reinterpret_cast<Int*>(a.workspace) + team.rank * a.boxes;
    const Range range = share(a.batches * a.classes, team);
    for (Int i = range.begin; i < range.end; ++i) {
        const float* boxes = a.x + i / a.classes * a.boxes * 4;
        Int* kept = reinterpret_cast<Int*>(a.kept) + i * a.most;
        reinterpret_cast<Int*>(a.counts)[i] = one_class(a, boxes, a.scores + i * a.boxes, heap, kept);
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
