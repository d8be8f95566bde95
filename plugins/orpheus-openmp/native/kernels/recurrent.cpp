// The loop over time of LSTM and GRU, of one or two directions.
//
// gates [directions, steps, batch, G * hidden] holds W x + biases of all steps, from one product before. Here each step
// adds the product of the state with R, packed in panels (gemm.cpp), and applies the gates; Y is [steps, directions,
// batch, hidden]. Kinds: 0 LSTM (gates i o f c), 1 GRU (z r h), 2 GRU whose reset gate comes after the product.
// Order of the loops: direction, run of sequences, step, panel, row tile, k. Threads: equal runs of (direction,
// sequence), which need no word of each other. Bound by R's way from L2, its weights being used once a step and run.
// Measured on Zen 4, the inputs' product included, share of the 117 GFLOP/s of one core: 16 sequences of 128 and 256 units
// 75 and 83 %, a single one 48 to 54 %.

#include "math.hpp"
#include "rows.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

namespace {

// y [rows, n] = left [rows, hidden] * r + before, rows of y and before n_row apart. `before` may be null.
void product(const RecurrentArgs& a, const float* left, Int left_row, const float* r, Int n, const float* before,
             float* y, Int n_row, Int rows) {
    constexpr float inf = __builtin_inff();
    for (Int column = 0; column < n; column += panel) {
        const float* b = r + column * a.hidden;
        for (Int row = 0; row < rows; row += max_pixels) {
            const Int count = least(Int{max_pixels}, rows - row);
            const Sum sum{left + row * left_row, b, 1, 0, 1, 0, 1, 0, a.hidden, a.hidden, left_row, 0, 0};
            const float* residual = before ? before + row * n_row + column : nullptr;
            const RowFinish finish{y + row * n_row + column, n_row, least(Int{panel}, n - column), 1.0f, 1.0f,
                                   nullptr, 0, 0, residual, nullptr, nullptr, nullptr, -inf, inf, 0, 0.0f, 0.0f};
            row_tile(count, sum, finish);
        }
    }
}

// One sequence's next state from its gates; p are the peepholes of i, o and f, or null.
void lstm_cell(Int hidden, const float* z, const float* p, float* h, float* c) {
    for (Int j = 0; j < hidden; j += B) {
        const Int count = hidden - j;
        const Vec before = load_upto(c + j, count);
        Vec in = load_upto(z + j, count), out = load_upto(z + hidden + j, count);
        Vec keep = load_upto(z + 2 * hidden + j, count);
        if (p) {
            in = fma(load_upto(p + j, count), before, in);
            keep = fma(load_upto(p + 2 * hidden + j, count), before, keep);
        }
        const Vec cell = fma(sigmoid(keep), before, sigmoid(in) * tanh(load_upto(z + 3 * hidden + j, count)));
        if (p) out = fma(load_upto(p + hidden + j, count), cell, out);
        store_upto(c + j, cell, count);
        store_upto(h + j, sigmoid(out) * tanh(cell), count);
    }
}

// h = (1 - z) * tanh(candidate) + z * h.
ORPHEUS_INLINE Vec gru_blend(Vec z, Vec candidate, Vec h) {
    const Vec fresh = tanh(candidate);
    return fma(z, h - fresh, fresh);
}

void gru_step(const RecurrentArgs& a, const float* gates, const float* r, const float* r_h, const float* h_bias,
              float* sums, float* h, float* reset, Int rows) {
    const Int n = a.hidden, width = 3 * n;
    product(a, h, 2 * n, r, 2 * n, gates, sums, width, rows);
    if (a.kind == 2) product(a, h, 2 * n, r_h, n, nullptr, sums + 2 * n, width, rows);
    for (Int row = 0; row < rows; ++row) {
        float* z = sums + row * width;
        for (Int j = 0; j < n; j += B) {
            const Int count = n - j;
            const Vec gate = sigmoid(load_upto(z + n + j, count));
            store_upto(z + j, sigmoid(load_upto(z + j, count)), count);
            if (a.kind == 1) {
                store_upto(reset + row * 2 * n + j, gate * load_upto(h + row * 2 * n + j, count), count);
                continue;
            }
            const Vec bias = h_bias ? load_upto(h_bias + j, count) : zero();
            const Vec from_x = load_upto(gates + row * width + 2 * n + j, count);
            store_upto(z + 2 * n + j, fma(gate, load_upto(z + 2 * n + j, count) + bias, from_x), count);
        }
    }
    if (a.kind == 1) product(a, reset, 2 * n, r_h, n, gates + 2 * n, sums + 2 * n, width, rows);
    for (Int row = 0; row < rows; ++row) {
        const float* z = sums + row * width;
        float* state = h + row * 2 * n;
        for (Int j = 0; j < n; j += B) {
            const Int count = n - j;
            const Vec next = gru_blend(load_upto(z + j, count), load_upto(z + 2 * n + j, count),
                                       load_upto(state + j, count));
            store_upto(state + j, next, count);
        }
    }
}

// Sequences [first, first + rows) of one direction. A sequence's state is [h, c], 2 * hidden floats; GRU keeps
// reset * h where LSTM keeps c.
void run(const RecurrentArgs& a, Int direction, Int first, Int rows) {
    const Int n = a.hidden, width = (a.kind ? 3 : 4) * n, at = direction * a.batch + first;
    float* h = a.state + at * 2 * n;
    float* sums = a.sums + at * width;
    const float* r = a.r + direction * a.r_size;
    const float* p = a.peepholes ? a.peepholes + direction * 3 * n : nullptr;
    for (Int row = 0; row < rows; ++row) {
        for (Int j = 0; j < n; ++j) {
            h[row * 2 * n + j] = a.initial_h ? a.initial_h[(at + row) * n + j] : 0.0f;
            h[row * 2 * n + n + j] = a.initial_c ? a.initial_c[(at + row) * n + j] : 0.0f;
        }
    }
    const bool backwards = a.reverse || direction == 1;
    for (Int step = 0; step < a.steps; ++step) {
        const Int t = backwards ? a.steps - 1 - step : step;
        const float* gates = a.gates + ((direction * a.steps + t) * a.batch + first) * width;
        if (a.kind == 0) {
            product(a, h, 2 * n, r, width, gates, sums, width, rows);
            for (Int row = 0; row < rows; ++row)
                lstm_cell(n, sums + row * width, p, h + row * 2 * n, h + row * 2 * n + n);
        } else {
            const float* h_bias = a.h_bias ? a.h_bias + direction * n : nullptr;
            gru_step(a, gates, r, a.r_h + direction * a.r_h_size, h_bias, sums, h, h + n, rows);
        }
        if (a.y) {
            float* y = a.y + ((t * a.directions + direction) * a.batch + first) * n;
            for (Int row = 0; row < rows; ++row) copy_floats(y + row * n, h + row * 2 * n, n);
        }
    }
    for (Int row = 0; row < rows; ++row) {
        if (a.y_h) copy_floats(a.y_h + (at + row) * n, h + row * 2 * n, n);
        if (a.y_c) copy_floats(a.y_c + (at + row) * n, h + row * 2 * n + n, n);
    }
}

}  // namespace

void recurrent(const void* args, Team& team) {
    const RecurrentArgs& a = *static_cast<const RecurrentArgs*>(args);
    const Range range = share(a.directions * a.batch, team);
    for (Int i = range.begin; i < range.end;) {
        const Int direction = i / a.batch, first = i % a.batch, rows = least(a.batch - first, range.end - i);
        run(a, direction, first, rows);
        i += rows;
    }
}

}  // namespace orpheus::ORPHEUS_NAMESPACE
