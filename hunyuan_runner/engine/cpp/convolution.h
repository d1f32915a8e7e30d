// Convolutions in int16 products, for CPUs that have no fast bfloat16. Feature maps are frames of
// rows of positions, each with its channels next to one another (THWC). Their padding is there.
//
// Each position has a scale of its own, so the products of one tap of the kernel are summed in
// int32, DEPTH channels at a time, and then added to the others in fp32.

#pragma once

#include "groups.h"
#include "linear.h"

namespace convolution {

using word = std::int16_t;

constexpr int64_t VECTORS = LANES == 16 ? 4 : 2;
constexpr int64_t PANEL = VECTORS * LANES;  // outputs computed together,
constexpr int64_t GROUP = LANES == 4 ? 3 : 6;  // of so many positions
constexpr int64_t DEPTH = 256;              // channels whose weights stay in the first cache

// What is shared: sixteen channels of a position.
inline void store_sixteen(word* to, const Ints (&levels)[SIXTEEN]) {
#ifdef NEON_VECTORS
    auto* bytes = reinterpret_cast<std::uint8_t*>(to);
    for (int i = 0; i < SIXTEEN; i++) {
        store_bytes(bytes + i * LANES, Words::high_of(levels[i]));
        store_bytes(bytes + 16 + i * LANES, Words::low_of(levels[i]));
    }
#else
    for (int i = 0; i < SIXTEEN; i++) store_words(to + i * LANES, levels[i]);
#endif
}

// levels, scale = x by position; x: positions x channels, the latter a multiple of 16
inline void quantize(const float* x, int64_t positions, int64_t channels, word* levels,
                     float* scale, int64_t threads) {
    const float most = most_level(std::min(channels, DEPTH));
#pragma omp parallel for num_threads(int(threads)) schedule(static)
    for (int64_t position = 0; position < positions; position++) {
        const float* from = x + position * channels;
        Floats magnitudes = splat(1e-20f);
        for (int64_t c = 0; c < channels; c += LANES)
            magnitudes = larger(magnitudes, magnitude(load(from + c)));
        const float top = largest(magnitudes);
        const Floats factor = splat(most / top);
        for (int64_t c = 0; c < channels; c += 16) {
            Ints found[SIXTEEN];
            for (int i = 0; i < SIXTEEN; i++)
                found[i] = to_ints(load(from + c + i * LANES) * factor);
            store_sixteen(levels + position * channels + c, found);
        }
        scale[position] = top / most;
    }
}

// sums (R x PANEL fp32) += products of one tap: `depth` channels of R neighbouring positions, which
// have `channels` each, by a panel of weights, which lie as groups of channels x PARTS x PANEL
template <int R>
__attribute__((noinline)) void add_tap(const word* levels, int64_t channels, int64_t depth,
                                       const std::int32_t* weights, const float* scale,
                                       float* sums) {
    Ints total[R][VECTORS];
    const auto* rows = reinterpret_cast<const std::int32_t*>(levels);
#ifdef NEON_VECTORS
    Words::Sum sum[R][VECTORS];
    const int64_t row_ints = channels / 2;
    for (int64_t channel = 0; channel < depth; channel += 16, rows += 8) {
        Words position[R];
#pragma GCC unroll 3
        for (int r = 0; r < R; r++) position[r] = {rows + r * row_ints, SHARED};
        unrolled<SHARED>([&](auto group) {
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++) {
                const Words weight(weights + v * LANES, PANEL);
#pragma GCC unroll 3
                for (int r = 0; r < R; r++) sum[r][v].template add<group>(weight, position[r]);
            }
            weights += Words::PARTS * PANEL;
        });
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < VECTORS; v++) total[r][v] = sum[r][v].total();
#else
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) total[r][v] = Ints{};
    for (int64_t pair = 0; pair < depth / 2; pair++) {
        Ints weight[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) weight[v] = load(weights + (pair * VECTORS + v) * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            const Ints value = splat(rows[r * channels / 2 + pair]);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++)
                total[r][v] = dot_words(total[r][v], weight[v], value);
        }
    }
#endif
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            float* place = sums + r * PANEL + v * LANES;
            store(place, fma(to_floats(total[r][v]), splat(scale[r]), load(place)));
        }
}

// packed (panels x taps x groups of channels x PARTS x PANEL) = levels (panels x PANEL x channels x
// taps)
inline void pack(const word* levels, int64_t panels, int64_t channels, int64_t taps,
                 std::int32_t* packed, int64_t threads) {
    const int64_t tap_ints = channels * PANEL / 2;
#pragma omp parallel for collapse(2) num_threads(int(threads)) schedule(static)
    for (int64_t panel = 0; panel < panels; panel++)
        for (int64_t tap = 0; tap < taps; tap++) {
            auto* to = packed + (panel * taps + tap) * tap_ints;
            for (int64_t channel = 0; channel < channels; channel += Words::COUNT) {
                for (int64_t output = 0; output < PANEL; output++) {
                    const word* from =
                        levels + ((panel * PANEL + output) * channels + channel) * taps + tap;
                    std::int32_t group[Words::COUNT], parts[Words::PARTS];
                    for (int i = 0; i < Words::COUNT; i++) group[i] = from[i * taps];
                    Words::pack(group, parts);
                    for (int i = 0; i < Words::PARTS; i++) to[i * PANEL + output] = parts[i];
                }
                to += Words::PARTS * PANEL;
            }
        }
}

// As kernels.py passes it.
struct Shape {
    int64_t frames, height, width, channels;  // of what is seen,
    int64_t kernel_frames, kernel_height, kernel_width;
    int64_t outputs;                                    // channels of what is made,
    int64_t frame_stride, row_stride, position_stride;  // which is THWC with these strides

    int64_t frames_out() const { return frames - kernel_frames + 1; }
    int64_t rows_out() const { return height - kernel_height + 1; }
    int64_t width_out() const { return width - kernel_width + 1; }
    int64_t taps() const { return kernel_frames * kernel_height * kernel_width; }

    // Calls make_row(frame, row, panel, sums) for each, with room for `row_sums`.
    template <class MakeRow>
    void by_rows(int64_t panel_outputs, int64_t row_sums, int64_t threads, MakeRow make_row) const {
        const int64_t panels = ceil_div(outputs, panel_outputs);
#pragma omp parallel num_threads(int(threads))
        {
            const TileRegisters registers;
            auto sums = buffer<float>(row_sums);
#pragma omp for collapse(3) schedule(dynamic)
            for (int64_t panel = 0; panel < panels; panel++)
                for (int64_t frame = 0; frame < frames_out(); frame++)
                    for (int64_t row = 0; row < rows_out(); row++)
                        make_row(frame, row, panel, sums.get());
        }
    }
};

struct Convolution : Shape {
    const word* levels;
    const float* scale;           // by position
    const std::int32_t* weights;  // panels x taps x groups of channels x PARTS x PANEL
    const float* weight_scale;    // by output, as long as the panels
    const float* bias;            // the same
    float* out;

    int64_t tap_ints() const { return channels * PANEL / 2; }

    // The outputs of a panel along a row; `sums` has room for width_out() x PANEL.
    void make_row(int64_t frame, int64_t row, int64_t panel, float* sums) const {
        const int64_t count = width_out();
        const std::int32_t* weight = weights + panel * taps() * tap_ints();
        std::fill_n(sums, count * PANEL, 0.0f);
        for (int64_t t = 0; t < kernel_frames; t++)
            for (int64_t y = 0; y < kernel_height; y++)
                for (int64_t x = 0; x < kernel_width; x++, weight += tap_ints()) {
                    const int64_t first = ((frame + t) * height + row + y) * width + x;
                    add_row(first, count, weight, sums);
                }
        finish_row(out + frame * frame_stride + row * row_stride + panel * PANEL, panel, sums);
    }

    void add_row(int64_t first, int64_t count, const std::int32_t* weight, float* sums) const {
        for (int64_t channel = 0; channel < channels; channel += DEPTH) {
            const auto add = [&](int64_t position, auto together) {
                add_tap<together()>(levels + (first + position) * channels + channel, channels,
                                    std::min(DEPTH, channels - channel),
                                    weight + channel * PANEL / 2, scale + first + position,
                                    sums + position * PANEL);
            };
            int64_t position = 0;
            for (; position + GROUP <= count; position += GROUP)
                add(position, std::integral_constant<int, GROUP>{});
            unrolled<GROUP>([&](auto rest) {
                if constexpr (rest > 0)
                    if (position + rest == count) add(position, rest);
            });
        }
    }

    void finish_row(float* to, int64_t panel, const float* sums) const {
        const int64_t left = outputs - panel * PANEL;
        for (int64_t position = 0; position < width_out(); position++)
            for (int64_t k = 0; k < std::min(PANEL, left); k += LANES) {
                const int64_t output = panel * PANEL + k;
                const Floats value = fma(load(sums + position * PANEL + k),
                                         load(weight_scale + output), load(bias + output));
                store_part(to + position * position_stride + k, value, left - k);
            }
    }

    void make(int64_t threads) const {
        by_rows(PANEL, width_out() * PANEL, threads,
                [&](int64_t frame, int64_t row, int64_t panel, float* sums) {
                    make_row(frame, row, panel, sums);
                });
    }
};

}  // namespace convolution
