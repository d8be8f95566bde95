// What a bilinear algorithm's program does to one register tile: its products, sums, slots and epilogue. See
// kernels/strassen.cpp.
#pragma once

#include "activate.hpp"

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

}  // namespace

}  // namespace orpheus::ORPHEUS_NAMESPACE
