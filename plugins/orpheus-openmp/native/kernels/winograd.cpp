// Winograd convolution F(m x m, 3 x 3), stride 1, on NCHWc.
//
// y = A' [(G w G') * (B' x B)] A (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016);
// transforms are generated from their points (orpheus_openmp.cook_toom). Layout: x, y blocked; transformed weights
// [element][chunk][in channel][vectors * B]. An image is done in bands of `band` tile rows, so that transformed inputs
// V [element][in block][tile][B] and products M [element][out block][tile][B] stay in L2. Order of the loops: image,
// band; then transform (block, tile), products (element, chunk, tiles by the register tile of tile.hpp), inverse and
// epilogue (block, tile). Threads: bands apart where there are enough of them, else all work on one band together.

#include "tile.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

#include "winograd_transforms.inc"

template <class F>
class Winograd {
public:
    static void run(const ConvArgs& a, Team& team) {
        const Int rows = ceil_div(a.out_h, F::out), bands = a.n * ceil_div(rows, a.band);
        const Winograd work(a);
        if (bands >= 2 * team.size || team.size == 1) {
            Team alone{0, 1, nullptr};
            const Range range = share(bands, team);
            for (Int i = range.begin; i < range.end; ++i) work.band(i, alone, team.rank);
        } else {
            for (Int i = 0; i < bands; ++i) work.band(i, team, 0);
        }
    }

private:
    static constexpr int size = F::out + 2, elements = size * size;

    explicit Winograd(const ConvArgs& args) : a(args), across(ceil_div(a.out_w, F::out)) {}

    void band(Int index, Team& team, Int place) const {
        const Int rows = ceil_div(a.out_h, F::out), bands = ceil_div(rows, a.band);
        const Int image = index / bands, first = index % bands * a.band;
        const Int tiles = (least(first + a.band, rows) - first) * across;
        float* v = a.workspace + place * elements * (a.in_blocks + a.out_blocks) * a.band * across * B;
        float* m = v + elements * a.in_blocks * tiles * B;
        const Range in = share(a.in_blocks * tiles, team);
        for (Int i = in.begin; i < in.end; ++i) transform(image, first, i / tiles, i % tiles, tiles, v);
        wait(team);
        const Int chunks = ceil_div(a.out_blocks, max_vectors);
        const Range products = share(elements * chunks, team);
        for (Int i = products.begin; i < products.end; ++i) product(i / chunks, i % chunks, tiles, v, m);
        wait(team);
        const Range out = share(a.out_blocks * tiles, team);
        for (Int i = out.begin; i < out.end; ++i) inverse(image, first, i / tiles, i % tiles, tiles, m);
        wait(team);
    }

    void transform(Int image, Int first, Int block, Int tile, Int tiles, float* v) const {
        const Int ih = (first + tile / across) * F::out - a.pt, iw = tile % across * F::out - a.pl;
        const float* x = a.x + ((image * a.in_blocks + block) * a.in_h * a.in_w) * B;
        const bool inside = ih >= 0 && iw >= 0 && ih + size <= a.in_h && iw + size <= a.in_w;
        Vec columns[size][size];
        for (int j = 0; j < size; ++j) {
            Vec d[size], o[size];
            ORPHEUS_UNROLL
            for (int i = 0; i < size; ++i) {
                const bool has = inside || (ih + i >= 0 && ih + i < a.in_h && iw + j >= 0 && iw + j < a.in_w);
                d[i] = has ? load(x + ((ih + i) * a.in_w + iw + j) * B) : zero();
            }
            F::input(d, o);
            ORPHEUS_UNROLL
            for (int i = 0; i < size; ++i) columns[i][j] = o[i];
        }
        for (int i = 0; i < size; ++i) {
            Vec o[size];
            F::input(columns[i], o);
            ORPHEUS_UNROLL
            for (int j = 0; j < size; ++j)
                store(v + (((i * size + j) * a.in_blocks + block) * tiles + tile) * B, o[j]);
        }
    }

    void product(Int element, Int chunk, Int tiles, const float* v, float* m) const {
        const Int first = chunk * max_vectors, vectors = least(Int{max_vectors}, a.out_blocks - first);
        const Int channels = (a.in_blocks - 1) * B + a.last_depth;
        const float* w = a.w + (element * a.out_blocks + first) * B * channels;
        const float infinity = __builtin_inff();
        const Tiling tiling(tiles);
        for (Int i = 0; i < tiling.count; ++i) {
            const Int tile = tiling.begin(i), count = tiling.begin(i + 1) - tile;
            const Sum sum{v + (element * a.in_blocks * tiles + tile) * B, w, a.in_blocks, tiles * B, 1, 0, 1, 0, B,
                          a.last_depth, B, vectors * B * B, 0};
            Finish finish{};
            finish.y = m + ((element * a.out_blocks + first) * tiles + tile) * B;
            finish.vector_stride = tiles * B;
            finish.lo = -infinity;
            finish.hi = infinity;
            finish.partial = true;
            find_tile(B, vectors, count)(sum, finish);
        }
    }

    void inverse(Int image, Int first, Int block, Int tile, Int tiles, const float* m) const {
        const Int oh = (first + tile / across) * F::out, ow = tile % across * F::out;
        Vec columns[F::out][size];
        for (int j = 0; j < size; ++j) {
            Vec d[size], o[F::out];
            ORPHEUS_UNROLL
            for (int i = 0; i < size; ++i)
                d[i] = load(m + (((i * size + j) * a.out_blocks + block) * tiles + tile) * B);
            F::output(d, o);
            ORPHEUS_UNROLL
            for (int i = 0; i < F::out; ++i) columns[i][j] = o[i];
        }
        const Int channel = block * B, rows = least(Int{F::out}, a.out_h - oh), cols = least(Int{F::out}, a.out_w - ow);
        const Vec bias = a.bias ? load(a.bias + channel) : zero();
        const Vec lo = broadcast(a.lo), hi = broadcast(a.hi);
        for (Int i = 0; i < rows; ++i) {
            Vec o[F::out];
            F::output(columns[i], o);
            const Int offset = (((image * a.out_blocks + block) * a.out_h + oh + i) * a.out_w + ow) * B;
            for (Int j = 0; j < cols; ++j) {
                Vec value = o[j] + bias;
                const Int at = offset + j * B;
                if (a.residual) value = value + load(a.residual + at);
                if (a.sum) store(a.sum + at, value);
                if (a.scale) value = fma(value, load(a.scale + channel), load(a.shift + channel));
                store(a.y + at, clamp(value, lo, hi));
            }
            if (a.act) activate(a.act, a.act_a, a.act_b, a.y + offset, cols * B);
            if (a.tail && block == a.out_blocks - 1) {
                zero_tail(a.y + offset, cols, a.tail);
                if (a.sum) zero_tail(a.sum + offset, cols, a.tail);
            }
        }
    }

    const ConvArgs& a;
    const Int across;  // tiles in a row
};

}  // namespace

void winograd_2x3(const void* args, Team& team) { Winograd<F2x3>::run(*static_cast<const ConvArgs*>(args), team); }
void winograd_4x3(const void* args, Team& team) { Winograd<F4x3>::run(*static_cast<const ConvArgs*>(args), team); }

}  // namespace orpheus::ORPHEUS_NAMESPACE
