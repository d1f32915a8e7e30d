// Activations to int8, and linear layers of them.

#pragma once

#include <omp.h>

#include "products.h"

#ifdef NEON_VECTORS
constexpr int ZERO_POINT = 0;  // a quantised zero: activations are signed,
#else
constexpr int ZERO_POINT = 128;  // or unsigned
#endif
constexpr float LOG2E = 1.44269504088896f;

// The largest level of int16 whose products can be summed `count` at a time in an int32, and that
// Arm multiplies as two bytes (groups.h).
inline float most_level(int64_t count) {
    return std::min(8191.0f, std::floor(std::sqrt(2147483647.0f / float(count) * 0.99999f)));
}

// GELU in its tanh form: x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3)).
inline Floats gelu(Floats x) {
    const Floats slope = fma(x * x, splat(0.044715f), splat(1.0f));
    Floats exponent = x * slope * splat(-2.0f * 0.7978845608f * LOG2E);
    // 2^-100 is as good as nothing, and 2^100 as infinity
    exponent = smaller(larger(exponent, splat(-100.0f)), splat(100.0f));
    return x / (splat(1.0f) + exp2_coarse(exponent));
}

// One row of `depth` floats, a multiple of 16, into row `row` of left tiles that are
// `padded` deep; what it was divided by is returned.
inline float quantize_row(const float* values, int64_t depth, int64_t padded, std::uint8_t* tiles,
                          int64_t row) {
    Floats most = splat(1e-20f);
    for (int64_t k = 0; k < depth; k += LANES) most = larger(most, magnitude(load(values + k)));
    const float top = largest(most);
    const Floats scale = splat(127.0f / top);
    auto* target = tiles + row / ROWS * (padded / I8_DEPTH) * TILE_BYTES;
    for (int64_t k = 0; k < padded; k += LANES) {
        Ints levels = splat(ZERO_POINT);
        if (k < depth) levels += to_ints(load(values + k) * scale);
        store_bytes(target + k / I8_DEPTH * TILE_BYTES + place_in_tile(row % ROWS, k % I8_DEPTH),
                    levels);
    }
    return top / 127.0f;
}

// line (a multiple of 16 long) = layer_norm(source) * (1 + scale) + shift
inline void normalize_row(const float* source, int64_t width, const float* scale,
                          const float* shift, float epsilon, float* line) {
    Sums16 sum, squares;
    for (int64_t k = 0; k < width; k += 16)
        for (int i = 0; i < SIXTEEN; i++) sum.part[i] += load(source + k + i * LANES);
    const Floats mean = splat(sum.total() / float(width));
    for (int64_t k = 0; k < width; k += 16)
        for (int i = 0; i < SIXTEEN; i++) {
            const Floats off = load(source + k + i * LANES) - mean;
            squares.part[i] = fma(off, off, squares.part[i]);
        }
    const Floats norm = splat(1.0f / std::sqrt(squares.total() / float(width) + epsilon));
    for (int64_t k = 0; k < width; k += LANES) {
        const Floats value = (load(source + k) - mean) * norm;
        store(line + k, fma(value, load(scale + k) + splat(1.0f), load(shift + k)));
    }
}

// What is done with a linear layer's results.
enum Epilogue : int {
    STORE = 0,     // out (bf16) = result
    GELU = 1,      // out (bf16) = gelu(result)
    RESIDUAL = 2,  // out (fp32) += gate * result
};

struct Linear {
    const float* row_scale;
    const float* weight_scale;        // by output
    const std::int32_t* weight_sum;   // by output, over the inputs: takes the zero point out again
    const float* bias;                // by output, or null
    const float* gate;                // by output, for RESIDUAL
    void* out;
    int64_t out_stride;               // elements
    int64_t outputs;

    static constexpr int64_t VECTORS = PANEL * SIXTEEN;

    // What the rows of a panel's outputs, from `column` on, have in common.
    struct Panel {
        int64_t column, count;  // of outputs
        bool whole_lines;
        Ints offset[VECTORS];
        Floats scale[VECTORS], shift[VECTORS], gates[VECTORS];
    };

    Panel panel(int64_t column, int64_t tiles) const {
        Panel panel{};
        panel.column = column;
        panel.count = std::min(tiles * ROWS, outputs - column);
        const auto start = reinterpret_cast<std::uintptr_t>(static_cast<bf16*>(out) + column);
        panel.whole_lines = panel.count == PANEL * ROWS && start % 64 == 0 &&
                            out_stride * sizeof(bf16) % 64 == 0;
        for (int64_t j = 0; j < VECTORS && j * LANES < tiles * ROWS; j++) {
            const int64_t first = column + j * LANES;
            const auto read = [&](const float* from) {
                return from && first < outputs ? load_part(from + first, outputs - first)
                                               : Floats{};
            };
            panel.offset[j] = load(weight_sum + first) * ZERO_POINT;
            panel.scale[j] = load(weight_scale + first);
            panel.shift[j] = read(bias);
            panel.gates[j] = read(gate);
        }
        return panel;
    }

    // Row `row` of a panel's outputs; `sums` are its places in their tiles.
    template <Epilogue EPILOGUE>
    inline void finish(const Panel& panel, const std::int32_t* sums, int64_t row) const {
        const Floats row_scales = splat(row_scale[row]);
        Floats value[VECTORS];
#pragma GCC unroll 3
        for (int64_t j = 0; j < VECTORS; j++) {
            const Ints sum =
                load(sums + j / SIXTEEN * TILE_SUMS + j % SIXTEEN * LANES) - panel.offset[j];
            value[j] = fma(to_floats(sum), panel.scale[j] * row_scales, panel.shift[j]);
            if constexpr (EPILOGUE == GELU) value[j] = gelu(value[j]);
        }
        const int64_t place = row * out_stride + panel.column;
#ifdef USE_AMX
        if (EPILOGUE != RESIDUAL && panel.whole_lines) {
            // bypass the caches, which would first fetch what is overwritten
            const __m512i line = _mm512_inserti64x4(
                _mm512_castsi256_si512(to_bf16(value[0])), to_bf16(value[1]), 1);
            _mm512_stream_si512(reinterpret_cast<__m512i*>(static_cast<bf16*>(out) + place), line);
            return;
        }
#endif
        for (int64_t j = 0; j < VECTORS && j * LANES < panel.count; j++) {
            const int64_t first = j * LANES, count = panel.count - first;
            if constexpr (EPILOGUE == RESIDUAL) {
                auto* target = static_cast<float*>(out) + place + first;
                if (count >= LANES)
                    store(target, fma(value[j], panel.gates[j], load(target)));
                else
                    store_part(target, fma(value[j], panel.gates[j], load_part(target, count)),
                               count);
            } else {
                auto* target = static_cast<bf16*>(out) + place + first;
                if (count >= LANES)
                    store(target, value[j]);
                else
                    store_part(target, value[j], count);
            }
        }
    }
};

// Of activations, with BLOCK_DEPTH: what L2 holds. CPUs that widen bytes have small ones.
constexpr int64_t BLOCK_ROWS = FACTOR_TILES == 2 ? 128 : 384;
constexpr int64_t BLOCK_DEPTH = 3072;
constexpr int64_t SLICE_DEPTH = PANEL == 2 ? 1024 : 512;  // of a panel of weights: what L1 holds

constexpr int64_t LINE_BYTES = 64;

// What is done while a pair of rows of tiles is multiplied: at each tile of its depth, some rows of
// the pair before are finished, and a part of the same tile of the next slice of weights is fetched
// into L2.
template <Epilogue EPILOGUE>
struct Finishing {
    static constexpr int64_t STEP_ROWS = PAIR_ROWS / (SLICE_DEPTH / I8_DEPTH) / FACTOR_TILES;
    static constexpr int64_t STEP_BYTES =
        ceil_div(TILE_BYTES / LINE_BYTES, BLOCK_ROWS / PAIR_ROWS) * LINE_BYTES;
    static constexpr bool FETCHES = FACTOR_TILES == 1;  // else weights are widened, all at once

    Linear linear;
    const Linear::Panel* panel;
    int64_t strip;  // bytes from one column of tiles of weights to the next
    const std::int32_t* sums = nullptr;
    int64_t first = 0;
    std::uint64_t row = 0, rows = 0;  // of the pair: the next one, and how many
    const std::int8_t* weights = nullptr;
    bool fetches = false;

    void begin(const std::int32_t* pair_sums, int64_t first_row, int64_t count) {
        sums = pair_sums;
        first = first_row;
        row = 0;
        rows = std::uint64_t(count);
    }

    // While pair `number` of a block is multiplied, of the slice that starts at `next`.
    void fetch(const std::int8_t* next, int64_t number) {
        weights = next + number * STEP_BYTES;
        fetches = FETCHES && number * STEP_BYTES < TILE_BYTES;
    }

    void operator()() {
        if (fetches) {
            for (int64_t column = 0; column < PANEL; column++)
                for (int64_t byte = 0; byte < STEP_BYTES; byte += LINE_BYTES)
                    __builtin_prefetch(weights + column * strip + byte, 0, 2);
            weights += TILE_BYTES;
        }
        for (int64_t i = 0; i < STEP_ROWS && row < rows; i++) finish_row();
    }

    void rest() {
        while (row < rows) finish_row();
    }

    void finish_row() {
        const auto* row_sums = sums + row / ROWS * PANEL * TILE_SUMS + row % ROWS * ROWS;
        linear.template finish<EPILOGUE>(*panel, row_sums, first + int64_t(row));
        row++;
    }
};

// levels (left tiles, rows x depth) * weights (right tiles), finished.
template <Epilogue EPILOGUE>
void multiply_linear(const Linear& linear, const std::uint8_t* levels, int64_t rows, int64_t depth,
                     const std::int8_t* weights, int64_t threads) {
    const int64_t depth_tiles = ceil_div(depth, I8_DEPTH);
    const int64_t row_tiles = ceil_div(rows, ROWS);
    const int64_t column_tiles = ceil_div(linear.outputs, ROWS);
    const int64_t panels = ceil_div(column_tiles, PANEL);
    const int64_t strip = depth_tiles * TILE_BYTES;  // one row, or column, of tiles
    constexpr int64_t block_pairs = BLOCK_ROWS / PAIR_ROWS;
    constexpr int64_t block_depth = BLOCK_DEPTH / I8_DEPTH;
    constexpr int64_t slice_depth = SLICE_DEPTH / I8_DEPTH;
    constexpr int64_t pair_sums = PAIR * PANEL * TILE_SUMS;
    const auto tiles = [&](const auto* start, int64_t outer, int64_t k) {
        return start + outer * strip + k * TILE_BYTES;
    };
#pragma omp parallel num_threads(int(threads))
    {
        const TileRegisters registers;
        // threads share the rows, which stay in cache, and split the weights, which do not
        const int64_t worker = omp_get_thread_num(), workers = omp_get_num_threads();
        const int64_t first = panels * worker / workers, last = panels * (worker + 1) / workers;
        const bool whole = depth_tiles <= block_depth;
        auto sums = buffer<std::int32_t>(block_pairs * pair_sums * (whole ? 1 : last - first));
        auto block_room = factor_room(block_pairs * PAIR * std::min(depth_tiles, block_depth));
        auto panel_room = factor_room(PANEL * slice_depth);
        for (int64_t m = 0; m < row_tiles; m += block_pairs * PAIR) {
            const int64_t end = std::min(row_tiles, m + block_pairs * PAIR);
            for (int64_t block = 0; block < depth_tiles; block += block_depth) {
                const int64_t block_end = std::min(depth_tiles, block + block_depth);
                const Tiles left = factors(tiles(levels, m, block), strip, end - m,
                                           block_end - block, block_room.get());
                for (int64_t panel = first; panel < last; panel++) {
                    auto* panel_sums =
                        sums.get() + (whole ? 0 : (panel - first) * block_pairs * pair_sums);
                    const int64_t n = panel * PANEL;
                    const int64_t columns = std::min(PANEL, column_tiles - n);
                    const auto common = linear.panel(n * ROWS, columns);
                    Finishing<EPILOGUE> finishing{linear, &common, strip};
                    const int64_t next_panel = panel + 1 < last ? panel + 1 : first;
                    for (int64_t k = block; k < block_end; k += slice_depth) {
                        const int64_t slice = std::min(slice_depth, block_end - k);
                        const Tiles right =
                            factors(tiles(weights, n, k), strip, columns, slice, panel_room.get());
                        const auto* next = k + slice < block_end
                                               ? tiles(weights, n, k + slice)
                                               : tiles(weights, next_panel * PANEL, block);
                        for (int64_t pair = m; pair < end; pair += PAIR) {
                            const int64_t number = (pair - m) / PAIR;
                            auto* sums = panel_sums + number * pair_sums;
                            finishing.fetch(next, number);
                            multiply<Factor, Again::RIGHT>(
                                left.from(pair - m, (k - block) * FACTOR_TILES), right,
                                std::min(PAIR, end - pair), columns, slice * FACTOR_TILES, sums,
                                PANEL * TILE_SUMS, k > 0, finishing);
                            if (k + slice < depth_tiles) continue;
                            finishing.rest();
                            const int64_t row = pair * ROWS;
                            finishing.begin(sums, row, std::min(rows - row, PAIR_ROWS));
                        }
                    }
                    finishing.rest();
                }
            }
        }
#ifdef USE_AMX
        _mm_sfence();  // after the stores that bypassed the caches
#endif
    }
}
