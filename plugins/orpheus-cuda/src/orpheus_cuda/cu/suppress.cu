// NonMaxSuppression. suppress: a block a list (one class of one image), which takes boxes by falling score, the lower
// index first among equals, and drops what overlaps a box taken by more than `overlap`. collect: the lists as rows
// (image, class, box), and how many there are. Every operation is rounded by itself, as the reference does it.

struct Box { float top, left, bottom, right; };

__device__ inline Box corners(const float *b, bool centred) {
    float first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
    if (centred)
        for (int i = 0; i < 2; ++i) {
            const float half = second[i] / 2;
            second[i] = __fadd_rn(first[i], half), first[i] = __fsub_rn(first[i], half);
        }
    return {fminf(first[0], second[0]), fminf(first[1], second[1]), fmaxf(first[0], second[0]),
            fmaxf(first[1], second[1])};
}
__device__ inline float area(Box b) { return __fmul_rn(__fsub_rn(b.bottom, b.top), __fsub_rn(b.right, b.left)); }
__device__ inline bool overlaps(Box a, Box b, float more) {
    const float high = __fsub_rn(fminf(a.bottom, b.bottom), fmaxf(a.top, b.top));
    const float wide = __fsub_rn(fminf(a.right, b.right), fmaxf(a.left, b.left));
    const float common = __fmul_rn(fmaxf(high, 0.0f), fmaxf(wide, 0.0f)), one = area(a), other = area(b);
    const float both = __fsub_rn(__fadd_rn(one, other), common);
    return (one > 0 && other > 0 && both > 0 ? __fdiv_rn(common, both) : 0.0f) > more;
}

extern "C" __global__ void __launch_bounds__(256)
    suppress(const float *boxes, const float *scores, u8 *dropped, int *lists, int *counts, const int N, const int classes,
           const int most, const float overlap, const float least, const int limited, const int centred) {
    __shared__ float tops[256];
    __shared__ int places[256];
    const i64 list = blockIdx.x;
    boxes += list / classes * N * 4, scores += list * N, dropped += list * N, lists += list * most;
    int taken = 0, last = -1;
    Box chosen = {};
    while (true) {
        float top = 0;
        int place = -1;
        for (int i = threadIdx.x; i < N; i += 256) {
            if (last < 0) dropped[i] = limited && !(scores[i] > least);
            if (dropped[i]) continue;
            if (last >= 0 && (i == last || overlaps(chosen, corners(boxes + i * 4, centred), overlap))) {
                dropped[i] = 1;
                continue;
            }
            if (place < 0 || scores[i] > top) top = scores[i], place = i;
        }
        tops[threadIdx.x] = top, places[threadIdx.x] = place;
        for (int half = 128; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half) {
                const float t = tops[threadIdx.x + half];
                const int p = places[threadIdx.x + half], mine = places[threadIdx.x];
                if (p >= 0 && (mine < 0 || t > tops[threadIdx.x] || (t == tops[threadIdx.x] && p < mine)))
                    tops[threadIdx.x] = t, places[threadIdx.x] = p;
            }
        }
        __syncthreads();
        last = places[0];
        __syncthreads();
        if (last < 0 || taken == most) break;
        chosen = corners(boxes + last * 4, centred);
        if (threadIdx.x == 0) lists[taken] = last;
        ++taken;
    }
    if (threadIdx.x == 0) counts[list] = taken;
}

extern "C" __global__ void collect(const int *lists, const int *counts, i64 *rows, int *total, const int count,
                                   const int classes, const int most) {
    const int list = (int)INDEX;
    if (list >= count) return;
    i64 first = 0;
    for (int before = 0; before < list; ++before) first += counts[before];
    for (int i = 0; i < counts[list]; ++i) {
        i64 *const row = rows + (first + i) * 3;
        row[0] = list / classes, row[1] = list % classes, row[2] = lists[(i64)list * most + i];
    }
    if (list == count - 1) *total = (int)first + counts[list];
}
