// Plain matrix products: Gemm, MatMul (a batch of them) and fully connected layers.
//
// Layout: a [batch, m, k] or its transpose, y [batch, m, n]; b packed by panels [panel][k][max_vectors * B], beforehand
// where it is constant, else here into the workspace. Order of the loops: batch, panel, tile of rows, k.
// One row (batch-1 inference) is bound by the weights' way from memory: four panels are read side by side, so that
// eight chains of additions are under way. Threads: equal runs of (batch, panel).
// Measured on Zen 4, share of the 117 GFLOP/s of one core: [256, 512] x [512, 512] packed 97 %, a batch of [128, 64] x [64,
// 128] packed as it goes 69 %; one row of [2048, 1000] 94 GB/s of weights from L3.

#include "rows.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

template <int T, int P>
__attribute__((noinline)) void rows_of(const Sum& given, const RowFinish& f) {
    Sum s = given;
    Vec acc[max_vectors][T];
    ORPHEUS_UNROLL
    for (int v = 0; v < max_vectors; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[v][t] = zero();
    }
    accumulate<T, max_vectors, P>(acc, s);
    // Through memory: an epilogue unrolled for every accumulator would be longer than the product.
    float sums[T][panel];
    ORPHEUS_UNROLL
    for (int t = 0; t < T; ++t) {
        ORPHEUS_UNROLL
        for (int v = 0; v < max_vectors; ++v) store(&sums[t][v * B], acc[v][t]);
    }
    for (Int t = 0; t < T; ++t)
        for (Int j = 0; j < f.columns; j += B) end_vector(load(&sums[t][j]), f, t, j, f.columns - j);
}

template <int P, int... T>
ORPHEUS_INLINE void pick(Int rows, const Sum& s, const RowFinish& f, Numbers<T...>) {
    static constexpr void (*all[])(const Sum&, const RowFinish&) = {&rows_of<T, P>...};
    all[rows - 1](s, f);
}

// `count` panels of one row, their sums side by side.
template <int Q>
void row_panels(const float* a, Int stride, const float* b, Int k, const RowFinish& f) {
    Vec acc[Q][max_vectors];
    ORPHEUS_UNROLL
    for (int q = 0; q < Q; ++q) {
        ORPHEUS_UNROLL
        for (int v = 0; v < max_vectors; ++v) acc[q][v] = zero();
    }
    for (Int i = 0; i < k; ++i) {
        const Vec value = broadcast(a[i * stride]);
        ORPHEUS_UNROLL
        for (int q = 0; q < Q; ++q) {
            ORPHEUS_UNROLL
            for (int v = 0; v < max_vectors; ++v)
                acc[q][v] = fma(value, load(b + (q * k + i) * panel + v * B), acc[q][v]);
        }
    }
    ORPHEUS_UNROLL
    for (int q = 0; q < Q; ++q) {
        ORPHEUS_UNROLL
        for (int v = 0; v < max_vectors; ++v) {
            const Int j = q * panel + v * B;
            if (j < f.columns) end_vector(acc[q][v], f, 0, j, f.columns - j);
        }
    }
}

void pack(const GemmArgs& a, const float* b, Int p, float* to) {
    const Int first = p * panel, columns = least(Int{panel}, a.n - first);
    for (Int i = 0; i < a.k; ++i, to += panel)
        for (Int j = 0; j < panel; ++j)
            to[j] = j >= columns ? 0.0f : a.trans_b ? b[(first + j) * a.k + i] : b[i * a.n + first + j];
}

}  // namespace

void row_tile(Int rows, const Sum& s, const RowFinish& f) {
    if (s.pixel_stride == 1) pick<1>(rows, s, f, UpTo<max_pixels>{});
    else pick<0>(rows, s, f, UpTo<max_pixels>{});
}

void gemm(const void* args, Team& team) {
    const GemmArgs& a = *static_cast<const GemmArgs*>(args);
    const Int panels = ceil_div(a.n, panel), all = a.batch * panels;
    const Range range = share(all, team);
    float* own = a.packed ? nullptr : a.workspace + team.rank * 4 * a.k * panel;
    for (Int i = range.begin; i < range.end;) {
        const Int batch = i / panels, p = i % panels;
        const Int group = a.m == 1 && p + 4 <= panels && i + 4 <= range.end ? 4 : 1;
        const float* b = a.b + batch * a.b_batch;
        if (!a.packed) {
            for (Int q = 0; q < group; ++q) pack(a, b, p + q, own + q * a.k * panel);
            b = own;
        } else {
            b += p * a.k * panel;
        }
        const float* left = a.a + batch * a.a_batch;
        const Int column = p * panel, step = a.trans_a ? 1 : a.lda;
        RowFinish f{a.y + batch * a.m * a.n + column,
                    a.n,
                    least(group * panel, a.n - column),
                    a.alpha,
                    a.beta,
                    a.c ? a.c + column * a.c_cols : nullptr,
                    a.c_rows,
                    a.c_cols,
                    a.residual ? a.residual + batch * a.m * a.n + column : nullptr,
                    nullptr,
                    nullptr,
                    nullptr,
                    a.lo,
                    a.hi,
                    a.act,
                    a.act_a,
                    a.act_b};
        i += group;
        if (a.m == 1) {
            const Int stride = a.trans_a ? a.lda : 1;
            if (group == 4) row_panels<4>(left, stride, b, a.k, f);
            else row_panels<1>(left, stride, b, a.k, f);
            continue;
        }
        const Tiling tiling(a.m);
        for (Int tile = 0; tile < tiling.count; ++tile) {
            const Int row = tiling.begin(tile), rows = tiling.begin(tile + 1) - row;
            const Sum sum = a.trans_a ? Sum{left + row, b, a.k, a.lda, 1, 0, 1, 0, 1, 1, 1, panel, 0}
                                      : Sum{left + row * step, b, 1, 0, 1, 0, 1, 0, a.k, a.k, a.lda, 0, 0};
            RowFinish at = f;
            at.y += row * a.n;
            if (at.c) at.c += row * a.c_rows;
            if (at.residual) at.residual += row * a.n;
            row_tile(rows, sum, at);
        }
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
