// Winograd and Cook-Toom convolution F(m_h x m_w, r_h x r_w), stride 1 or 2, on NCHWc; some also from a plain input.
//
// y = A_h' [(G_h w G_w') * (B_h' x B_w)] A_w (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR
// 2016), each axis with a transform of its own, generated from its points (orpheus_openmp.cook_toom); F(1, 1) is the
// identity, and with it on one axis the form is one-dimensional. `form` is the row of the generated table.
// Stride 2: every second row and column of the input, from each of the first two on, is a phase of it. A phase meets every
// second tap of an axis, so the sum over all phases is one over four times the channels, with stride 1 and half the taps,
// and its products are added up before the inverse. Of an odd number of taps the second phase has one less; that is a zero
// for its last tap, which the element of infinity is all made of, so this phase is left out there: (2 m + 1)^2 products
// for m^2 results of a 3x3 kernel, (2 m + 5)^2 of 7x7.
// Layout: x, y blocked; transformed weights [chunk][element][phase][in channel][vectors * B], chunks as in conv.cpp; or
// weights as they are, [chunk][in channel][tap][vectors * B], transformed as they are used (winograd_fresh.hpp). An image is
// done in bands of `band` tile rows, so that the transformed inputs V [element][phase][in block][tile][B] and a chunk's
// products M [element][vector][tile][B] stay in L2; elements are an odd number of vectors apart, so that those of one tile do
// not meet in one set of L1. From a plain input V is [element][phase][channel][tile]: a vector is of neighbouring tiles, and
// few channels fill it too. For that the rows of a band are spread, so that what the tiles of a row have in one place lies in
// one run.
// Order of the loops: image, band; transforms (block, tile); then for each chunk its products (element, cut of the
// channels, register tile) and at once their inverse and epilogue (vector, tile). Each cut is summed by itself: that keeps
// its weights in L1 over all tiles, and the rounding of a long sum from being magnified by the inverse. While a cut is used
// the next one comes to L2, evenly shared out to its register tiles (asked for by the first tile alone, WRN-40-2 took 3 to 4 %
// more, ResNets 1 to 2 % on an Intel server). Weights that are transformed here: chunk, cut, row of elements.
// Threads: bands apart where there are enough of them and as many for each, else all work on one band, by chunks (7x1 at 17x17,
// five bands for two threads: 0.41 ms apart, some 0.3 together). Two threads then each transform
// all inputs for themselves, more share them: V is 2 to 4 times as large as x, and where cores are far apart (150 ns on an Intel
// server) it is computed sooner than it comes from the other one: WRN-40-2 takes 1.35 ms there instead of 1.54.
// Measured on Zen 4, share of the 117 GFLOP/s of one core that the form's own multiplications reach, transforms included:
// 3x3 80 % with 64 channels at 56x56, 87 % with 128 at 28x28, 86 % with 256 at 14x14 by F(5,3) (69 % by F(4,3), which does
// not divide 14), and 51 % with 512 at 7x7, which waits for its weights; that is 3.2, 3.5, 3.4 and 2.0 times what a direct
// sum could reach. 5x5 76 %, 1x7 76-83 %, 1x3 91 %.
// On an Intel server's core (214 GFLOP/s): 3x3 with 64 channels at 56x56 63 %, 128 at 28x28 62 %, 256 at 14x14 45 %, and half
// of that where its weights come from memory; 32 channels at 32x32 and 64 at 16x16 54 %, 128 at 8x8 50 %.
// Stride 2: 3x3 86 % with 64 to 128 channels at 28x28, 85 % with 128 to 256 at 14x14, 78 % with 256 to 512 at 7x7, which is
// 1.5, 1.45 and 1.1 times what a direct sum could reach; a 7x7 stem, of few channels, 40 %, 1.9 times.

#include "tiling.hpp"
#include "winograd.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// Channels that are summed up before they are added to the sum of those before them.
constexpr Int cut_channels = 64;
// Blocks of channels whose weights are transformed together: with the rest that a row of elements takes they fit into L1.
constexpr Int fresh_blocks = 16 / B;
// Threads of one band that each transform all its inputs.
constexpr Int most_alone = 2;

// One tile of products: y[v][t] = sum over blocks and channels of x[t] w[v], added to y when `resume`. Tiles lie B floats
// apart in x, 1 where each channel is a block of its own.
struct Product {
    const float* x;
    Int blocks, block_stride, last_depth;
    const float* w;
    const float* ahead;  // with each channel so many vectors of weights that are wanted later come to L2, `ahead_step` apart
    Int ahead_step;
    float* y;
    Int vector_stride;
    bool resume;
};

template <int T, int V, int P, int Ahead>
__attribute__((noinline)) void multiply(const Product& p) {
    Vec acc[V][T];
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[v][t] = zero();
    }
    const float* w = p.w;
    const float* ahead = p.ahead;
    for (Int b = 0; b < p.blocks; ++b) {
        const float* x = p.x + b * p.block_stride;
        const Int depth = P == 1 ? 1 : b + 1 < p.blocks ? Int{B} : p.last_depth;
        for (Int d = 0; d < depth; ++d, ++x, w += V * B) {
            Vec weights[V];
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) {
                weights[v] = load(w + v * B);
                if (v < Ahead) prefetch_far(ahead + v * B);
            }
            if (Ahead) ahead += p.ahead_step;
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) {
                const Vec value = broadcast(x[t * P]);
                ORPHEUS_UNROLL
                for (int v = 0; v < V; ++v) acc[v][t] = fma(value, weights[v], acc[v][t]);
            }
        }
    }
    float* y = p.y;
    const Int stride = p.vector_stride;
    if (p.resume) {
        ORPHEUS_UNROLL
        for (int v = 0; v < V; ++v) {
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[v][t] = acc[v][t] + load(y + v * stride + t * B);
        }
    }
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) store(y + v * stride + t * B, acc[v][t]);
    }
}

using Multiply = void (*)(const Product&);

template <int V, int P, int Ahead, int... T>
ORPHEUS_INLINE Multiply find(Int tiles, Numbers<T...>) {
    static constexpr Multiply all[] = {&multiply<T, V, P, Ahead>...};
    return all[tiles - 1];
}

// The tile of so many vectors and tiles. The weights that come later are shared out to `runs` of them: where these are as
// many as the vectors, each asks for one line a channel, or two of them would ask for the same.
template <int P>
ORPHEUS_INLINE Multiply multiply_of(Int vectors, Int tiles, Int runs) {
    static_assert(max_vectors == 2 && tall_vectors == 3);
    if (vectors == 1) return find<1, P, 1>(tiles, UpTo<max_pixels>{});
    if (vectors == 2) return runs < 2 ? find<2, P, 2>(tiles, UpTo<max_pixels>{}) : find<2, P, 1>(tiles, UpTo<max_pixels>{});
    return runs < 3 ? find<3, P, 3>(tiles, UpTo<short_pixels>{}) : find<3, P, 1>(tiles, UpTo<short_pixels>{});
}

class Winograd {
public:
    explicit Winograd(const ConvArgs& args)
        : a(args), f(forms[a.form]), down(ceil_div(a.out_h, f.out_h)), across(ceil_div(a.out_w, f.out_w)),
          elements(f.size_h * f.size_w), phases(f.step * f.step), channels((a.in_blocks - 1) * a.in_depth + a.last_depth),
          length(ceil_div(across, Int{B}) * B + (f.size_w * f.step - 1) / (f.out_w * f.step)) {
        for (Int i = 0; i < elements; ++i) products_each += span(i).end - span(i).begin;
    }

    void run(Team& team) const {
        const Int bands = a.n * ceil_div(down, a.band);
        const Int v_size = elements * v_apart(a.band * across);
        const Int room = v_size + (plain() ? a.in_blocks * spread_rows(a.band) * spread_row() : 0);
        const Int m_room = m_size() + (f.weigh ? f.size_w * fresh_blocks * a.vectors * B * B : 0);
        float* m = a.workspace + team.size * room + team.rank * m_room;
        float* own = a.workspace + team.rank * room;
        Team alone{0, 1, nullptr};
        if (bands >= 2 * team.size || team.size == 1) {
            const Range range = share(bands, team);
            for (Int i = range.begin; i < range.end; ++i) band(i, alone, alone, own, own + v_size, m);
        } else if (team.size <= most_alone) {
            for (Int i = 0; i < bands; ++i) band(i, alone, team, own, own + v_size, m);
        } else {
            for (Int i = 0; i < bands; ++i) {
                band(i, team, team, a.workspace, a.workspace + v_size, m);
                wait(team);
            }
        }
    }

private:
    // Floats from one element of `vectors` vectors to the next.
    static Int apart(Int vectors) { return (vectors | 1) * B; }

    bool plain() const { return a.in_depth == 1; }
    // Floats of one block of v, and of all blocks of an element; the last vector of plain tiles reaches beyond them.
    Int v_row(Int tiles) const { return (plain() ? (tiles + 2 * B - 2) / B : tiles) * B; }
    Int v_apart(Int tiles) const { return apart(phases * a.in_blocks * v_row(tiles) / B); }
    // Floats of a chunk's products of a band.
    Int m_size() const { return elements * apart(a.vectors * a.band * across); }
    // Input rows of `rows` tile rows, and floats of a row that is spread.
    Int spread_rows(Int rows) const { return ((rows - 1) * f.out_h + f.size_h) * f.step; }
    Int spread_row() const { return f.out_w * f.step * length; }

    // The phases that an element sums over. One of a tap less than the others has a zero for its last tap, which is all
    // that the last element of an axis takes. Phases are (0, 1), (0, 0), (1, 0), (1, 1), so that they are neighbours.
    Range span(Int element) const {
        if (f.step == 1) return {0, 1};
        const bool no_row = a.kh % 2 && element / f.size_w == f.size_h - 1;
        const bool no_col = a.kw % 2 && element % f.size_w == f.size_w - 1;
        return {no_col, no_row ? 2 : no_col ? 3 : 4};
    }
    static Int phase_row(Int phase) { return phase / 2; }
    Int phase_col(Int phase) const { return f.step > 1 && (phase == 0 || phase == 3); }

    // A band, its inputs transformed by the threads of `makers`, its chunks shared by those of `team`.
    void band(Int index, Team& makers, Team& team, float* v, float* rows, float* m) const {
        const Int bands = ceil_div(down, a.band), image = index / bands, first = index % bands * a.band;
        const Int tiles = (least(first + a.band, down) - first) * across;
        if (plain()) inputs_plain(image, first, tiles, makers, rows, v);
        else inputs(image, first, tiles, makers, v);
        wait(makers);
        // Chunks that do not share out evenly are cut into runs of tiles too.
        const Tiling chunks(a.out_blocks, a.vectors);
        const Int parts = chunks.count % team.size && chunks.count < 8 * team.size ? least(Int{team.size}, tiles) : 1;
        const Range items = share(chunks.count * parts, team);
        for (Int i = items.begin; i < items.end; ++i) {
            const Int chunk = i / parts, part = i % parts;
            const Int begin = tiles * part / parts, end = tiles * (part + 1) / parts;
            const Int block = chunks.begin(chunk), vectors = chunks.size(chunk);
            if (f.weigh) fresh_products(block, vectors, v + begin * B, tiles, end - begin, m, m + m_size());
            else products(block, vectors, v + begin * a.in_depth, tiles, end - begin, m);
            for (Int j = 0; j < vectors * (end - begin); ++j) {
                const Int vector = j / (end - begin), tile = begin + j % (end - begin);
                const Int oh = (first + tile / across) * f.out_h, ow = tile % across * f.out_w;
                const Int offset = ((image * a.out_blocks + block + vector) * a.out_h + oh) * a.out_w + ow;
                f.inverse(a, m + j * B, apart(vectors * (end - begin)), block + vector, offset * B,
                          least(f.out_h, a.out_h - oh), least(f.out_w, a.out_w - ow));
            }
        }
    }

    // The transformed tiles from tile row `first` on.
    void inputs(Int image, Int first, Int tiles, Team& team, float* v) const {
        const Range range = share(a.in_blocks * phases * tiles, team);
        for (Int i = range.begin; i < range.end; ++i) {
            const Int block = i / tiles % a.in_blocks, phase = i / tiles / a.in_blocks, tile = i % tiles;
            const Int ih = (first + tile / across) * f.out_h * f.step - a.pt + phase_row(phase);
            const Int iw = tile % across * f.out_w * f.step - a.pl + phase_col(phase);
            const float* x = a.x + (image * a.in_blocks + block) * a.in_h * a.in_w * B;
            f.transform_block(a, x, ih, iw, v + i * B, v_apart(tiles));
        }
    }

    // The same of a plain input, whose rows are spread first.
    void inputs_plain(Int image, Int first, Int tiles, Team& team, float* rows, float* v) const {
        const Int count = spread_rows(tiles / across), top = first * f.out_h * f.step - a.pt;
        const Range range = share(a.in_blocks * count, team);
        for (Int i = range.begin; i < range.end; ++i) {
            const Int h = top + i % count;
            const float* x = a.x + ((image * a.in_blocks + i / count) * a.in_h + h) * a.in_w;
            f.spread(a, h >= 0 && h < a.in_h ? x : nullptr, rows + i * spread_row(), length);
        }
        wait(team);
        // A row's last vector is cut off by the next row.
        const Range items = share(phases * a.in_blocks, team);
        for (Int i = items.begin; i < items.end; ++i) {
            const Int phase = i / a.in_blocks, channel = i % a.in_blocks;
            for (Int row = 0; row < tiles / across; ++row) {
                const Int h = row * f.out_h * f.step + phase_row(phase);
                const float* x = rows + (channel * count + h) * spread_row();
                for (Int tile = 0; tile < across; tile += B)
                    f.transform_plain(x + tile, length, phase_col(phase), v + i * v_row(tiles) + row * across + tile,
                                      v_apart(tiles));
            }
        }
    }

    // All elements of `tiles` tiles by the chunk that begins with output block `block`.
    void products(Int block, Int vectors, const float* v, Int v_tiles, Int tiles, float* m) const {
        const Int width = vectors * B, runs = ceil_div(tiles, pixels_of(vectors));
        const Int v_stride = v_apart(v_tiles), m_stride = apart(vectors * tiles), row = v_row(v_tiles);
        const float* w = a.w + block * B * products_each * channels;
        for (Int element = 0; element < elements; ++element, v += v_stride, m += m_stride) {
            const Range met = span(element);
            const Int begin = met.begin * a.in_blocks, blocks = (met.end - met.begin) * a.in_blocks;
            const Int cuts = ceil_div((met.end - met.begin) * channels, cut_channels);
            for (Int cut = 0; cut < cuts; ++cut) {
                const Int first = blocks * cut / cuts, last = blocks * (cut + 1) / cuts;
                const Int depth = last < blocks ? a.in_depth : a.last_depth;
                const Int size = ((last - first - 1) * a.in_depth + depth) * width;
                for (Int run = 0; run < runs; ++run) {
                    const Int tile = tiles * run / runs, count = tiles * (run + 1) / runs - tile;
                    const Product product{v + (begin + first) * row + tile * a.in_depth, last - first, row, depth,
                                          w, w + size + size / runs * run, width / runs, m + tile * B, tiles * B,
                                          cut > 0};
                    if (plain()) multiply_of<1>(vectors, count, runs)(product);
                    else multiply_of<B>(vectors, count, runs)(product);
                }
                w += size;
            }
        }
    }

    // The same of weights that are transformed here, a row of elements of a cut at a time into `u`, which L1 holds.
    void fresh_products(Int block, Int vectors, const float* v, Int v_tiles, Int tiles, float* m, float* u) const {
        const Int width = vectors * B, taps = a.kh * a.kw, v_stride = v_apart(v_tiles), row = v_row(v_tiles);
        const Int m_stride = apart(vectors * tiles);
        const float* w = a.w + block * B * taps * channels;
        for (Int first = 0; first < a.in_blocks; first += fresh_blocks) {
            const Int last = least(first + fresh_blocks, a.in_blocks);
            const auto depth = [&](Int b) { return b + 1 < a.in_blocks ? Int{B} : a.last_depth; };
            if (vectors == 1 && tiles <= f.few) {
                for (Int b = first; b < last; ++b, w += B * taps * B)
                    f.fresh[tiles - 1]({v + b * row, v_stride, w, w + B * taps * B, depth(b), m, m_stride, b > 0});
                continue;
            }
            const Int size = ((last - first - 1) * B + depth(last - 1)) * width;  // of an element
            for (Int i = 0; i < f.size_h; ++i) {
                for (Int b = first; b < last; ++b) {
                    const Int before = (b - first) * B * width;
                    const float* from = w + before * taps;
                    f.weigh[i](from, depth(b), width, u + before, size, from + size * taps);
                }
                for (Int j = 0; j < f.size_w; ++j) {
                    const Int element = i * f.size_w + j;
                    fresh_element({v + element * v_stride + first * row, last - first, row, depth(last - 1), u + j * size,
                                   nullptr, 0, m + element * m_stride, tiles * B, first > 0}, vectors, tiles);
                }
            }
            w += size * taps;
        }
    }

    // One element of all tiles: of the first of them, what p says.
    static void fresh_element(Product p, Int vectors, Int tiles) {
        const Tiling runs(tiles);
        for (Int run = 0; run < runs.count; ++run) {
            const Int count = runs.size(run);
            const Multiply found = vectors == 1 ? find<1, B, 0>(count, UpTo<max_pixels>{})
                                                : find<2, B, 0>(count, UpTo<max_pixels>{});
            found(p);
            p.x += count * B;
            p.y += count * B;
        }
    }

    const ConvArgs& a;
    const Form& f;
    const Int down, across;  // tiles in a column and in a row
    const Int elements, phases, channels;
    const Int length;  // of a run of a plain row that is spread
    Int products_each = 0;  // of a tile, for each channel and filter
};

}  // namespace

void winograd(const void* args, Team& team) { Winograd(*static_cast<const ConvArgs*>(args)).run(team); }

}  // namespace orpheus::ORPHEUS_NAMESPACE
