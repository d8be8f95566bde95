// 1x1 convolution as a matrix product with fewer multiplications: Strassen's algorithm, one level (7 products for 8) or
// two (49 for 64), on NCHWc. The algorithms are data (orpheus_openmp.bilinear): which sums of inputs and of weights are
// multiplied, and a program that runs the products in one register tile.
//
// An algorithm of side s takes s tiles of pixels, s equal runs of input blocks, and s times max_vectors output blocks (a
// chunk). Layout: x, y blocked; weights [chunk][product][in block][B][vectors * B], each product's sum of weights formed
// beforehand, then [tile of filters][in block] for the input blocks that s does not divide; at the end the ordinary
// panels of output blocks that fill no chunk. Order of the loops: image, band of groups of s tiles; its input sums
// [group][sum][in block][pixel][B], formed once; then chunk, group, program. All channels are summed at once, so that
// partial sums leave the registers for slots in L1 only. Input sums of a band and the weights of a chunk stay in L2.
// Threads: as many groups by each, in bands of its own; the few groups that are left over by all together, by chunks.
// Measured on AVX-512, counting the multiplications of an ordinary product: 105 to 110 % of peak with one level from 256
// channels on, up to 117 % with two, weights in cache; two levels hold three times the weights and lose where they stream.

#include "activate.hpp"
#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

enum class Op : short { fresh, product, add, store, out };

struct Instruction {
    Op op;
    short at;
};

#include "strassen_programs.inc"

constexpr Int slot_floats = max_vectors * max_pixels * B;

// One product's blocks of inputs, block_stride apart, and its weights.
struct Operand {
    const float* x;
    const float* w;
    Int blocks, block_stride;
};

// Which pixels a group's tiles begin at. Tiles are equal: where the pixels are not, a tile's first is also the last of
// the tile before it, and is not stored again.
template <int side> struct Group {
    Int pixels;
    Int begin[side], skip[side];

    Group(Int plane, Int index, Int count) {
        const Int units = ceil_div(plane, Int{side}), first = units * index / count;
        pixels = units * (index + 1) / count - first;
        const Int start = first * side, size = least(side * pixels, plane - start);
        for (Int i = 0; i < side; ++i) {
            begin[i] = start + (i ? i * (size - pixels) / (side - 1) : 0);
            skip[i] = i ? begin[i - 1] + pixels - begin[i] : 0;
        }
    }
};

// What will be read next, fetched into L2 while products run, a few lines with every block of channels: of the inputs of
// the next band `rows` runs of `lines` vectors, and the weights of the next chunk.
struct Ahead {
    const float* row = nullptr;
    Int stride = 0, rows = 0, lines = 0, next = 0, at_once = 0;
    const float* weights = nullptr;
    Int weights_at_once = 0;

    ORPHEUS_INLINE void fetch() {
        for (Int i = 0; i < at_once && rows; ++i) {
            prefetch_far(row + next * B);
            if (++next < lines) continue;
            next = 0;
            row += stride;
            --rows;
        }
        for (Int i = 0; i < weights_at_once; ++i, weights += line) prefetch_far(weights);
    }
};

// What the results of a chunk are for: the tensors, image and group of channels together, and its first block.
struct Target {
    const ConvArgs& a;
    Int whole, block, plane;
};

template <int T, int V>
ORPHEUS_INLINE void clear(Vec (&acc)[V][T]) {
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[v][t] = zero();
    }
}

// Stores a tile of vectors `stride` floats apart, but for its first pixel where that is to be skipped.
template <int T, int V>
ORPHEUS_INLINE void put(const Vec (&acc)[V][T], float* to, Int stride, Int skip) {
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        if (!skip) store(to + v * stride, acc[v][0]);
        ORPHEUS_UNROLL
        for (int t = 1; t < T; ++t) store(to + v * stride + t * B, acc[v][t]);
    }
}

// The epilogue of a tile of output blocks [block, block + V) from `pixel` on; `skip` pixels are not stored.
template <int T, int V>
ORPHEUS_INLINE void finish(Vec (&acc)[V][T], const Target& to, Int block, Int pixel, Int skip) {
    const ConvArgs& a = to.a;
    const Int stride = to.plane * B, offset = (to.whole * a.out_blocks + block) * stride + pixel * B;
    const Int of_group = to.whole % a.groups * a.out_blocks + block, channel = of_group * B;
    if (a.bias) {
        ORPHEUS_UNROLL
        for (int v = 0; v < V; ++v) {
            const Vec bias = load(a.bias + channel + v * B);
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[v][t] = acc[v][t] + bias;
        }
    }
    if (const float* residual = a.residual) {
        ORPHEUS_UNROLL
        for (int v = 0; v < V; ++v) {
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[v][t] = acc[v][t] + load(residual + offset + v * stride + t * B);
        }
    }
    if (a.sum) put<T, V>(acc, a.sum + offset, stride, skip);
    if (a.scale) {
        ORPHEUS_UNROLL
        for (int v = 0; v < V; ++v) {
            const Vec scale = load(a.scale + channel + v * B), shift = load(a.shift + channel + v * B);
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) acc[v][t] = fma(acc[v][t], scale, shift);
        }
    }
    const Vec lo = broadcast(a.lo), hi = broadcast(a.hi);
    ORPHEUS_UNROLL
    for (int v = 0; v < V; ++v) {
        ORPHEUS_UNROLL
        for (int t = 0; t < T; ++t) acc[v][t] = clamp(acc[v][t], lo, hi);
    }
    float* y = a.y + offset;
    put<T, V>(acc, y, stride, skip);
    const Int rest = T - skip;
    if (a.act)
        for (Int v = 0; v < V; ++v) activate(a.act, a.act_a, a.act_b, y + v * stride + skip * B, rest * B);
    if (a.tail && of_group + V == a.groups * a.out_blocks) {
        const Int last = (V - 1) * stride + skip * B;
        zero_tail(y + last, rest, a.tail);
        if (a.sum) zero_tail(a.sum + offset + last, rest, a.tail);
    }
}

// acc[v][t] += the sum over every channel of the operand's blocks.
template <int T, int V>
ORPHEUS_INLINE void multiply(Vec (&acc)[V][T], const Operand& o, Ahead& ahead) {
    const float* w = o.w;
    for (Int b = 0; b < o.blocks; ++b) {
        ahead.fetch();
        const float* x = o.x + b * o.block_stride;
        for (Int d = 0; d < B; ++d, ++x, w += V * B) {
            Vec weights[V];
            ORPHEUS_UNROLL
            for (int v = 0; v < V; ++v) weights[v] = load(w + v * B);
            ORPHEUS_UNROLL
            for (int t = 0; t < T; ++t) {
                const Vec value = broadcast(x[t * B]);
                ORPHEUS_UNROLL
                for (int v = 0; v < V; ++v) acc[v][t] = fma(value, weights[v], acc[v][t]);
            }
        }
    }
}

// The whole program of one group and chunk: the accumulators stay in registers from one instruction to the next.
template <class A, int T, int V>
__attribute__((noinline)) void execute(const Operand* operands, const Group<A::side>& group, const Target& to,
                                       float* slots, Ahead& ahead) {
    Vec acc[V][T];
    clear<T, V>(acc);  // every program does, but compilers do not see that
    for (const Instruction& i : A::program) {
        float* slot = slots + i.at * slot_floats;
        switch (i.op) {
            case Op::fresh: clear<T, V>(acc); break;
            case Op::product: multiply<T, V>(acc, operands[i.at], ahead); break;
            case Op::add:
                ORPHEUS_UNROLL
                for (int v = 0; v < V; ++v) {
                    ORPHEUS_UNROLL
                    for (int t = 0; t < T; ++t) acc[v][t] = acc[v][t] + load(slot + (v * T + t) * B);
                }
                break;
            case Op::store:
                ORPHEUS_UNROLL
                for (int v = 0; v < V; ++v) {
                    ORPHEUS_UNROLL
                    for (int t = 0; t < T; ++t) store(slot + (v * T + t) * B, acc[v][t]);
                }
                break;
            case Op::out: {
                const Int row = i.at / A::side, column = i.at % A::side;
                finish<T, V>(acc, to, to.block + column * V, group.begin[row], group.skip[row]);
                break;
            }
        }
    }
}

template <class A> using Execute = void (*)(const Operand*, const Group<A::side>&, const Target&, float*, Ahead&);

template <class A, int V, int... T>
ORPHEUS_INLINE Execute<A> pick(Int pixels, Numbers<T...>) {
    static constexpr Execute<A> by_pixels[] = {&execute<A, T, V>...};
    return by_pixels[pixels - 1];
}

template <class A>
class Bilinear {
public:
    static void run(const ConvArgs& a, Team& team) {
        const Bilinear work(a);
        const Int all = a.n * a.groups * work.groups;
        const Int each = all / team.size, apart = each * team.size;
        Team alone{0, 1, nullptr};
        work.bands({team.rank * each, team.rank * each + each}, alone, team.rank, team);
        if (apart < all) {
            wait(team);
            work.bands({apart, all}, team, 0, team);
        }
        work.left_over(team);
    }

private:
    static constexpr int side = A::side, operands = A::products + side * side;

    explicit Bilinear(const ConvArgs& args)
        : a(args), plane(a.out_h * a.out_w), groups(ceil_div(ceil_div(plane, Int{side}), Int{max_pixels})),
          chunks(a.out_blocks / (side * max_vectors)), part(a.in_blocks / side), rest(a.in_blocks % side) {}

    const float* weights_of(Int whole) const {
        const Int left = a.out_blocks - chunks * side * max_vectors;
        return a.w + whole % a.groups * (chunks * chunk_floats() + left * B * a.in_blocks * B);
    }

    Int chunk_floats() const { return (A::products * part + side * rest) * B * max_vectors * B; }

    // Blocks that one group and chunk multiplies.
    Int blocks() const { return A::products * part + side * side * rest; }

    // Groups [range), counted over all images and groups of channels, in equal bands.
    void bands(Range range, Team& team, Int place, const Team& all) const {
        for (Int begin = range.begin; begin < range.end;) {
            const Int first = begin % groups, run = least(groups - first, range.end - begin), count = ceil_div(run, a.band);
            for (Int i = 0; i < count; ++i) {
                if (begin + i > range.begin) wait(team);
                band(begin / groups, {first + run * i / count, first + run * (i + 1) / count}, first + run, team, place, all);
            }
            begin += run;
        }
    }

    // Groups [range) of one image and group of channels, by `team`, which goes on to `end`; all share the sums of `place`.
    void band(Int whole, Range range, Int end, Team& team, Int place, const Team& all) const {
        const Int first = range.begin, count = range.end - first;
        const Int sums_floats = A::sums * part * max_pixels * B;
        float* slots = a.workspace + all.rank * A::slots * slot_floats;
        float* sums = a.workspace + all.size * A::slots * slot_floats + place * a.band * sums_floats;
        const float* x = a.x + whole * a.in_blocks * plane * B;
        const Range mine = share(count * part, team);
        for (Int i = mine.begin; i < mine.end; ++i)
            form(x, Group<side>(plane, first + i / part, groups), i % part, sums + i / part * sums_floats);
        wait(team);
        const Range items = share(chunks * count, team);
        Ahead ahead = inputs_of(whole, range.end, least(range.end + count, end));
        ahead.at_once = ceil_div(ahead.rows * ahead.lines, most((items.end - items.begin) * blocks(), Int{1}));
        for (Int i = items.begin; i < items.end; ++i) {
            const Int chunk = i / count, at = i % count;
            if (i == items.begin || at == 0) aim(ahead, whole, chunk, least((chunk + 1) * count, items.end) - i, items.end - i);
            const Group<side> group(plane, first + at, groups);
            Operand table[operands];
            fill(table, x, weights_of(whole) + chunk * chunk_floats(), group, sums + at * sums_floats);
            const Target to{a, whole, chunk * side * max_vectors, plane};
            pick<A, max_vectors>(group.pixels, UpTo<max_pixels>{})(table, group, to, slots, ahead);
        }
    }

    Ahead inputs_of(Int whole, Int first, Int next) const {
        if (first >= next) return {};
        const Group<side> begin(plane, first, groups), end(plane, next - 1, groups);
        const Int pixel = begin.begin[0];
        return {a.x + (whole * a.in_blocks * plane + pixel) * B, plane * B, a.in_blocks,
                end.begin[side - 1] + end.pixels - pixel, 0, 0};
    }

    // The weights of the chunk after this one, spread over this one's `left` groups: a network's weights come from memory,
    // and the first group of a chunk would wait for them. `all` groups are left in all chunks.
    void aim(Ahead& ahead, Int whole, Int chunk, Int left, Int all) const {
        ahead.weights = weights_of(whole) + (chunk + 1) * chunk_floats();
        ahead.weights_at_once = left < all ? ceil_div(chunk_floats(), left * blocks() * line) : 0;
    }

    // The sums of input block `block` of every run, for one group of tiles.
    void form(const float* x, const Group<side>& group, Int block, float* sums) const {
        const Int stride = part * group.pixels * B;
        float* to = sums + block * group.pixels * B;
        for (Int t = 0; t < group.pixels; ++t) {
            Vec d[side * side], o[A::sums];
            ORPHEUS_UNROLL
            for (int i = 0; i < side; ++i) {
                ORPHEUS_UNROLL
                for (int k = 0; k < side; ++k)
                    d[i * side + k] = load(x + ((k * part + block) * plane + group.begin[i] + t) * B);
            }
            A::input(d, o);
            ORPHEUS_UNROLL
            for (int s = 0; s < A::sums; ++s) store(to + s * stride + t * B, o[s]);
        }
    }

    void fill(Operand* table, const float* x, const float* w, const Group<side>& group, const float* sums) const {
        for (int r = 0; r < A::products; ++r, ++table, w += part * B * max_vectors * B) {
            const int sum = A::formed[r], k = -1 - sum;
            if (sum >= 0) *table = {sums + sum * part * group.pixels * B, w, part, group.pixels * B};
            else *table = {x + (k % side * part * plane + group.begin[k / side]) * B, w, part, plane * B};
        }
        for (int q = 0; q < side * side; ++q, ++table)
            *table = {x + (side * part * plane + group.begin[q / side]) * B, w + q % side * rest * B * max_vectors * B,
                      rest, plane * B};
    }

    // Output blocks beyond the last chunk, by the ordinary product.
    void left_over(const Team& team) const {
        const Int first = chunks * side * max_vectors, left = a.out_blocks - first, panel = a.in_blocks * B * B;
        const Int pairs = ceil_div(left, Int{max_vectors}), tiles = ceil_div(plane, Int{max_pixels});
        const Range range = share(a.n * a.groups * pairs * tiles, team);
        for (Int i = range.begin; i < range.end; ++i) {
            const Int whole = i / tiles / pairs, block = i / tiles % pairs * max_vectors;
            const Group<1> group(plane, i % tiles, tiles);
            const float* w = weights_of(whole) + chunks * chunk_floats() + block * panel;
            const float* x = a.x + (whole * a.in_blocks * plane + group.begin[0]) * B;
            const Operand table[2] = {{x, w, a.in_blocks, plane * B}, {x, w, 0, 0}};
            const Target to{a, whole, first + block, plane};
            const auto run = left - block >= max_vectors ? pick<Plain, max_vectors>(group.pixels, UpTo<max_pixels>{})
                                                         : pick<Plain, 1>(group.pixels, UpTo<max_pixels>{});
            Ahead ahead;
            run(table, group, to, nullptr, ahead);
        }
    }

    const ConvArgs& a;
    const Int plane, groups, chunks, part, rest;  // groups of tiles, input blocks of a run and those beyond the runs
};

}  // namespace

void strassen(const void* args, Team& team) { Bilinear<Strassen>::run(*static_cast<const ConvArgs*>(args), team); }
void strassen2(const void* args, Team& team) { Bilinear<Strassen2>::run(*static_cast<const ConvArgs*>(args), team); }

}  // namespace orpheus::ORPHEUS_NAMESPACE
