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
// Threads: as many groups by each, in bands of its own, and the few that are left over by all together, by chunks; or all
// groups by all together, where that moves less: then every thread reads its part of the weights and all sums, instead of
// all weights and its part of the sums.
// Measured on AVX-512, counting the multiplications of an ordinary product: 105 to 110 % of peak with one level from 256
// channels on, up to 117 % with two, weights in cache; two levels hold three times the weights and lose where they stream.

#include "strassen.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

template <class A>
class Bilinear {
public:
    static void run(const ConvArgs& a, Team& team) {
        const Bilinear work(a);
        const Int all = a.n * a.groups * work.groups;
        const Int each = work.is_by_chunks(all, team.size) ? 0 : all / team.size, apart = each * team.size;
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

    // Whether all threads together move less from afar, group after group, than each with groups of its own. The sums
    // count twice: they come from another core.
    bool is_by_chunks(Int all, Int threads) const {
        const Int each = all / threads, weights = chunks * chunk_floats();
        const Int sums = all * A::sums * part * ceil_div(ceil_div(plane, Int{side}), groups) * B;
        const Int apart = ceil_div(each, a.band) * weights + (all % threads ? weights / threads : 0);
        return threads > 1 && ceil_div(all, a.band) * (weights / threads) + 2 * sums < apart;
    }

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
