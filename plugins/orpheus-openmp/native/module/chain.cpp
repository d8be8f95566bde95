#include "module/chain.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace orpheus {

namespace {

Geometry geometry_of(const ConvArgs& a, Int block) {
    return {a.n, a.in_h, a.in_w, a.out_h, a.out_w, a.kh, a.sh, a.dh, a.pt, a.groups * a.in_blocks, a.in_depth,
            a.groups * a.out_blocks, block, a.x, a.y, !a.residual && !a.sum,
            a.workspace && a.kh == 1 && a.kw == 1 && a.pt == 0 && a.pl == 0};
}

Geometry geometry_of(const PoolArgs& a, Int) {
    const Int blocks = a.images / a.n;
    return {a.n, a.in_h, a.in_w, a.out_h, a.out_w, a.kh, a.sh, a.dh, a.pt, blocks, a.depth, blocks, a.depth, a.x, a.y,
            true, false};
}

template <class Args> Geometry geometry(const void* args, Int block) {
    return geometry_of(*static_cast<const Args*>(args), block);
}

template <class Args> void place(void* args, Ptr x, Int x_plane, Out y, Int y_plane) {
    Args& a = *static_cast<Args*>(args);
    a.x = x;
    a.x_plane = x_plane;
    a.y = y;
    a.y_plane = y_plane;
}

}  // namespace

const std::vector<RowFamily>& row_families() {
#define ORPHEUS_ROW_FAMILY(kernel, args) {#kernel, &Table::kernel##_rows, &geometry<args>, &place<args>},
    static const std::vector<RowFamily> known = {ORPHEUS_ROWS(ORPHEUS_ROW_FAMILY)};
    return known;
}

Int Geometry::first(Int row) const { return std::clamp(row * sh - pt, Int{0}, in_h); }
Int Geometry::last(Int end) const { return std::clamp((end - 1) * sh - pt + (kh - 1) * dh + 1, Int{0}, in_h); }

Chain::Chain(std::vector<Link> links, Int band, int threads) : links_(std::move(links)), band_(band) {
    if (links_.size() < 2 || band < 1 || threads < 1)
        throw std::invalid_argument("a chain has two layers or more, bands of one row or more, and a thread");
    for (const Link& link : links_) shapes_.push_back(link.family->geometry(link.args.data(), link.block));
    for (const Geometry& shape : shapes_)
        if (shape.gathers) throw std::invalid_argument("a strided 1x1 gathers its input first; it is no link of a chain");
    capacity_.assign(links_.size(), band);
    for (std::size_t i = links_.size() - 1; i-- > 0;) {
        const Geometry &from = shapes_[i], &to = shapes_[i + 1];
        const std::string pair = "layers " + std::to_string(i) + " and " + std::to_string(i + 1) + " of a chain: ";
        if (!from.alone) throw std::invalid_argument(pair + "the first has a residual or a second output");
        if (from.y != to.x || from.n != to.n || from.out_h != to.in_h || from.out_w != to.in_w ||
            from.y_blocks != to.x_blocks || from.y_depth != to.x_depth)
            throw std::invalid_argument(pair + "the second does not read what the first writes");
        capacity_[i] = std::min((capacity_[i + 1] - 1) * to.sh + (to.kh - 1) * to.dh + 1, from.out_h);
        if (threads * capacity_[i] > from.n * from.out_h)
            throw std::invalid_argument(pair + std::to_string(threads) + " windows of " +
                                        std::to_string(capacity_[i]) + " rows do not fit where the result would lie");
    }
    Work work;
    for (const Link& link : links_) work.args.push_back(link.args);
    work.done.assign(links_.size(), 0);
    work.need = work.base = work.done;
    work_.assign(static_cast<std::size_t>(threads), work);
}

void Chain::kernel(const void* args, Team& team) {
    const Chain& chain = *static_cast<const Chain*>(args);
    const Geometry& last = chain.shapes_.back();
    const Int total = last.n * last.out_h, size = std::min(team.size, chain.threads());
    if (team.rank >= size) return;
    const Int end = total * (team.rank + 1) / size;
    for (Int row = total * team.rank / size; row < end;) {
        const Int image = row / last.out_h, begin = row % last.out_h;
        const Int stop = std::min(last.out_h, begin + end - row);
        chain.rows(chain.work_[static_cast<std::size_t>(team.rank)], image, begin, stop, team.rank);
        row += stop - begin;
    }
}

void Chain::rows(Work& work, Int image, Int begin, Int end, int rank) const {
    const std::size_t count = links_.size();
    std::vector<Int>&done = work.done, &need = work.need;
    done[count - 1] = begin;
    for (std::size_t i = count - 1; i-- > 0;) done[i] = work.base[i] = shapes_[i + 1].first(done[i + 1]);
    for (Int stop = begin; stop < end;) {
        stop = std::min(stop + band_, end);
        need[count - 1] = stop;
        for (std::size_t i = count - 1; i-- > 0;) {
            done[i] = std::max(done[i], shapes_[i + 1].first(done[i + 1]));  // rows between two windows are not needed
            const bool idle = need[i + 1] <= done[i + 1];
            need[i] = idle ? done[i] : std::max(done[i], shapes_[i + 1].last(need[i + 1]));
        }
        for (std::size_t i = 0; i < count; ++i) {
            if (i + 1 < count) slide(work, i, rank);
            if (need[i] <= done[i]) continue;
            const Geometry& shape = shapes_[i];
            const bool reads = i > 0, keeps = i + 1 < count;
            links_[i].family->place(
                work.args[i].data(), reads ? as_image(i - 1, image, work.base[i - 1], rank) : shape.x,
                (reads ? capacity_[i - 1] : shape.in_h) * shape.in_w,
                keeps ? as_image(i, image, work.base[i], rank) : shape.y,
                (keeps ? capacity_[i] : shape.out_h) * shape.out_w);
            links_[i].rows(work.args[i].data(), Span{image, done[i], need[i], rank});
            done[i] = need[i];
        }
    }
}

// Moves the rows that are needed again to the front of window i.
void Chain::slide(Work& work, std::size_t i, int rank) const {
    const Geometry& shape = shapes_[i];
    const Int keep = std::min(shapes_[i + 1].first(work.done[i + 1]), work.done[i]), gone = keep - work.base[i];
    if (gone <= 0) return;
    const Int row = shape.out_w * shape.y_depth;
    const auto bytes = static_cast<std::size_t>(std::max(work.done[i] - keep, Int{0}) * row) * sizeof(float);
    for (Int block = 0; block < shape.y_blocks && bytes; ++block) {
        float* front = window(i, rank) + block * capacity_[i] * row;
        std::memmove(front, front + gone * row, bytes);
    }
    work.base[i] = keep;
}

Out Chain::window(std::size_t i, int rank) const {
    const Geometry& shape = shapes_[i];
    return shape.y + rank * shape.y_blocks * capacity_[i] * shape.out_w * shape.y_depth;
}

// Where a whole result would have to begin for its row `base` of image `image` to be the window's first.
Out Chain::as_image(std::size_t i, Int image, Int base, int rank) const {
    const Geometry& shape = shapes_[i];
    const Int before = (image * shape.y_blocks * capacity_[i] + base) * shape.out_w * shape.y_depth;
    // As integers: the address may lie outside the array, what kernels add to it leads back.
    return reinterpret_cast<Out>(reinterpret_cast<std::uintptr_t>(window(i, rank)) -
                                 static_cast<std::uintptr_t>(before) * sizeof(float));
}

}  // namespace orpheus
