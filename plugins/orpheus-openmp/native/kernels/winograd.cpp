// Winograd and Cook-Toom convolution F(m_h x m_w, r_h x r_w), stride 1, on NCHWc.
//
// y = A_h' [(G_h w G_w') * (B_h' x B_w)] A_w (A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR
// 2016), each axis with a transform of its own, generated from its points (orpheus_openmp.cook_toom); F(1, 1) is the
// identity, and with it on one axis the form is one-dimensional. `form` is the row of the generated table.
// Layout: x, y blocked; transformed weights [chunk][element][in channel][vectors * B], a chunk being max_vectors output
// blocks or what remains. An image is done in bands of `band` tile rows, so that the transformed inputs
// V [element][in block][tile][B] and a chunk's products M [element][vector][tile][B] stay in L2; elements are an odd number
// of vectors apart, so that those of one tile do not meet in one set of L1.
// Order of the loops: image, band; transforms (block, tile); then for each chunk its products (element, cut of the
// channels, register tile) and at once their inverse and epilogue (vector, tile). Each cut is summed by itself: that keeps
// its weights in L1 over all tiles, and the rounding of a long sum from being magnified by the inverse.
// Threads: bands apart where there are enough of them, else all work on one band, by chunks.
// Measured on Zen 4, share of the 117 GFLOP/s of one core that the form's own multiplications reach, transforms included:
// 3x3 80 % with 64 channels at 56x56, 87 % with 128 at 28x28, 69 % with 256 at 14x14 and 51 % with 512 at 7x7, which tiles
// of 4x4 do not divide; that is 3.2, 3.5, 2.8 and 2.0 times what a direct sum could reach. 5x5 76 %, 1x7 76-83 %, 1x3 91 %.

#include "activate.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

#include "winograd_transforms.inc"

// Channels that are summed up before they are added to the sum of those before them.
constexpr Int cut_channels = 64;

// One tile of products: y[v][t] = sum over blocks and channels of x[t] w[v], added to y when `resume`.
struct Product {
    const float* x;
    Int blocks, block_stride, last_depth;
    const float* w;
    const float* ahead;  // weights that will be wanted next, as many as there are in w
    float* y;
    Int vector_stride;
    bool resume;
};

template <int T, int V>
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
        const Int depth = b + 1 < p.blocks ? Int{B} : p.last_depth;
        for (Int d = 0; d < depth; ++d, ++x, w += V * B, ahead += V * B) {
            Vec weights[V];
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) {
                weights[v] = load(w + v * B);
                __builtin_prefetch(ahead + v * B, 0, 2);  // into L2
            }
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) {
                const Vec value = broadcast(x[t * B]);
                ORPHEUS_UNROLL
                for (int v = 0; v < V; ++v) acc[v][t] = fma(value, weights[v], acc[v][t]);
            }
        }
    }
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        float* y = p.y + v * p.vector_stride;
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) store(y + t * B, p.resume ? acc[v][t] + load(y + t * B) : acc[v][t]);
    }
}

using Multiply = void (*)(const Product&);

template <int... T>
ORPHEUS_INLINE Multiply find_multiply(Int vectors, Int tiles, Numbers<T...>) {
    static_assert(max_vectors == 2);
    static constexpr Multiply all[2][max_pixels] = {{&multiply<T, 1>...}, {&multiply<T, 2>...}};
    return all[vectors - 1][tiles - 1];
}

constexpr float nothing[B] = {};

// One tile of one block of channels, at row ih and column iw of x: its elements are `stride` apart in v.
template <class R, class C>
void transform(const ConvArgs& a, const float* x, Int ih, Int iw, float* v, Int stride) {
    const bool inside = ih >= 0 && iw >= 0 && ih + R::size <= a.in_h && iw + C::size <= a.in_w;
    const auto at = [&](int i, int j) {
        const bool has = inside || (ih + i >= 0 && ih + i < a.in_h && iw + j >= 0 && iw + j < a.in_w);
        return load(has ? x + ((ih + i) * a.in_w + iw + j) * B : nothing);
    };
    Vec columns[R::size][C::size];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; ++j) {
        Vec d[R::size], o[R::size];
        ORPHEUS_UNROLL
        for (int i = 0; i < R::size; ++i) d[i] = at(i, j);
        R::input(d, o);
        ORPHEUS_UNROLL
        for (int i = 0; i < R::size; ++i) columns[i][j] = o[i];
    }
    ORPHEUS_UNROLL
    for (int i = 0; i < R::size; ++i) {
        Vec o[C::size];
        C::input(columns[i], o);
        ORPHEUS_UNROLL
        for (int j = 0; j < C::size; ++j) store(v + (i * C::size + j) * stride, o[j]);
    }
}

// One tile of one output block: m to the result at y, `offset` floats from the block's first pixel of this image.
template <class R, class C>
void inverse(const ConvArgs& a, const float* m, Int stride, Int block, Int offset, Int rows, Int cols) {
    Vec columns[R::out][C::size];
    ORPHEUS_UNROLL
    for (int j = 0; j < C::size; ++j) {
        Vec d[R::size], o[R::out];
        ORPHEUS_UNROLL
        for (int i = 0; i < R::size; ++i) d[i] = load(m + (i * C::size + j) * stride);
        R::output(d, o);
        ORPHEUS_UNROLL
        for (int i = 0; i < R::out; ++i) columns[i][j] = o[i];
    }
    const Int channel = block * B;
    const Vec bias = a.bias ? load(a.bias + channel) : zero();
    const Vec lo = broadcast(a.lo), hi = broadcast(a.hi);
    for (Int i = 0; i < rows; ++i, offset += a.out_w * B) {
        Vec o[C::out];
        C::output(columns[i], o);
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

// What differs between the forms.
struct Form {
    Int out_h, out_w, elements;
    void (*transform)(const ConvArgs&, const float*, Int, Int, float*, Int);
    void (*inverse)(const ConvArgs&, const float*, Int, Int, Int, Int, Int);
};

template <class R, class C>
constexpr Form form_of = {R::out, C::out, R::size * C::size, transform<R, C>, inverse<R, C>};

#define ORPHEUS_FORM(R, C) form_of<R, C>,
constexpr Form forms[] = {ORPHEUS_FORMS(ORPHEUS_FORM)};

class Winograd {
public:
    explicit Winograd(const ConvArgs& args)
        : a(args), f(forms[a.form]), down(ceil_div(a.out_h, f.out_h)), across(ceil_div(a.out_w, f.out_w)),
          channels((a.in_blocks - 1) * B + a.last_depth) {}

    void run(Team& team) const {
        const Int bands = a.n * ceil_div(down, a.band);
        const Int v_size = f.elements * apart(a.in_blocks * a.band * across);
        float* m = a.workspace + team.size * v_size + team.rank * f.elements * apart(max_vectors * a.band * across);
        if (bands >= 2 * team.size || team.size == 1) {
            Team alone{0, 1, nullptr};
            const Range range = share(bands, team);
            for (Int i = range.begin; i < range.end; ++i) band(i, alone, a.workspace + team.rank * v_size, m);
        } else {
            for (Int i = 0; i < bands; ++i) band(i, team, a.workspace, m);
        }
    }

private:
    // Floats from one element of `vectors` vectors to the next.
    static Int apart(Int vectors) { return (vectors | 1) * B; }

    void band(Int index, Team& team, float* v, float* m) const {
        const Int bands = ceil_div(down, a.band), image = index / bands, first = index % bands * a.band;
        const Int tiles = (least(first + a.band, down) - first) * across;
        const Range in = share(a.in_blocks * tiles, team);
        for (Int i = in.begin; i < in.end; ++i) {
            const Int block = i / tiles, tile = i % tiles;
            const Int ih = (first + tile / across) * f.out_h - a.pt, iw = tile % across * f.out_w - a.pl;
            const float* x = a.x + (image * a.in_blocks + block) * a.in_h * a.in_w * B;
            f.transform(a, x, ih, iw, v + i * B, apart(a.in_blocks * tiles));
        }
        wait(team);
        // Chunks that do not share out evenly are cut into runs of tiles too.
        const Int chunks = ceil_div(a.out_blocks, max_vectors);
        const Int parts = chunks % team.size && chunks < 8 * team.size ? least(Int{team.size}, tiles) : 1;
        const Range items = share(chunks * parts, team);
        for (Int i = items.begin; i < items.end; ++i) {
            const Int chunk = i / parts, part = i % parts;
            const Int begin = tiles * part / parts, end = tiles * (part + 1) / parts;
            const Int block = chunk * max_vectors, vectors = least(Int{max_vectors}, a.out_blocks - block);
            products(block, vectors, v + begin * B, tiles, end - begin, m);
            for (Int j = 0; j < vectors * (end - begin); ++j) {
                const Int vector = j / (end - begin), tile = begin + j % (end - begin);
                const Int oh = (first + tile / across) * f.out_h, ow = tile % across * f.out_w;
                const Int offset = ((image * a.out_blocks + block + vector) * a.out_h + oh) * a.out_w + ow;
                f.inverse(a, m + j * B, apart(vectors * (end - begin)), block + vector, offset * B,
                          least(f.out_h, a.out_h - oh), least(f.out_w, a.out_w - ow));
            }
        }
        wait(team);
    }

    // All elements of `tiles` tiles by the chunk that begins with output block `block`.
    void products(Int block, Int vectors, const float* v, Int v_tiles, Int tiles, float* m) const {
        const Int width = vectors * B, cuts = ceil_div(channels, cut_channels), runs = ceil_div(tiles, max_pixels);
        const Int v_stride = apart(a.in_blocks * v_tiles), m_stride = apart(vectors * tiles);
        const float* w = a.w + block * B * f.elements * channels;
        for (Int element = 0; element < f.elements; ++element, v += v_stride, m += m_stride) {
            for (Int cut = 0; cut < cuts; ++cut) {
                const Int first = a.in_blocks * cut / cuts, last = a.in_blocks * (cut + 1) / cuts;
                const Int depth = last < a.in_blocks ? Int{B} : a.last_depth;
                const Int size = ((last - first - 1) * B + depth) * width;
                for (Int run = 0; run < runs; ++run) {
                    const Int tile = tiles * run / runs, count = tiles * (run + 1) / runs - tile;
                    const Product product{v + (first * v_tiles + tile) * B, last - first, v_tiles * B, depth,
                                          w, run ? w : w + size, m + tile * B, tiles * B, cut > 0};
                    find_multiply(vectors, count, UpTo<max_pixels>{})(product);
                }
                w += size;
            }
        }
    }

    const ConvArgs& a;
    const Form& f;
    const Int down, across;  // tiles in a column and in a row
    const Int channels;
};

}  // namespace

void winograd(const void* args, Team& team) { Winograd(*static_cast<const ConvArgs*>(args)).run(team); }

}  // namespace orpheus::ORPHEUS_NAMESPACE
