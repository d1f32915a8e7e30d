// Convolutions in bf16 products, for AMX. Feature maps are frames of rows of positions. Here a row
// is arranged in groups of 32 channels, and in each group the positions lie next to one another: so
// sixteen neighbours are a left tile, wherever the kernel stands.

#pragma once

#include "convolution.h"

namespace bf16_convolution {

constexpr int64_t GROUP_BYTES = BF16_DEPTH * sizeof(bf16);  // of a position
constexpr int64_t PANEL_OUTPUTS = PANEL * ROWS;
// Groups of channels whose weights of one tap stay in the first cache.
#ifdef USE_AMX
constexpr int64_t DEPTH = 16;
#else
constexpr int64_t DEPTH = 8;
#endif

// arranged (rows x groups x width x 32) = x (rows x width x channels)
inline void arrange(const bf16* x, int64_t rows, int64_t width, int64_t channels, bf16* arranged,
                    int64_t threads) {
#pragma omp parallel for num_threads(int(threads)) schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const bf16* from = x + row * width * channels;
        bf16* to = arranged + row * width * channels;
        for (int64_t channel = 0; channel < channels; channel += BF16_DEPTH)
            for (int64_t position = 0; position < width; position++, to += BF16_DEPTH)
                std::memcpy(to, from + position * channels + channel, GROUP_BYTES);
    }
}

struct Convolution : convolution::Shape {
    const char* seen;     // arranged; two tiles beyond its end are read too
    const char* weights;  // panels x taps x groups x PANEL right tiles
    const float* bias;    // as long as the panels
    bf16* out;

    int64_t groups() const { return channels / BF16_DEPTH; }
    int64_t row_sums() const { return round_up(width_out(), PAIR_ROWS) * PANEL_OUTPUTS; }

    // The outputs of a panel along a row; `sums` has room for row_sums().
    void make_row(int64_t frame, int64_t row, int64_t panel, float* sums) const {
        const char* weight = weights + panel * taps() * groups() * PANEL * TILE_BYTES;
        bool begun = false;
        for (int64_t t = 0; t < kernel_frames; t++)
            for (int64_t y = 0; y < kernel_height; y++)
                for (int64_t x = 0; x < kernel_width; x++)
                    for (int64_t group = 0; group < groups(); group += DEPTH) {
                        const int64_t depth = std::min(DEPTH, groups() - group);
                        const int64_t line = ((frame + t) * height + row + y) * groups() + group;
                        const char* first = seen + (line * width + x) * GROUP_BYTES;
                        add_row(first, panel, depth, weight, begun, sums);
                        weight += depth * PANEL * TILE_BYTES;
                        begun = true;
                    }
        finish_row(out + frame * frame_stride + row * row_stride + panel * PANEL_OUTPUTS, panel,
                   sums);
    }

    void add_row(const char* first, int64_t panel, int64_t depth, const char* weight, bool begun,
                 float* sums) const {
        const int64_t tiles = ceil_div(width_out(), ROWS);
        const int64_t columns = std::min(PANEL, ceil_div(outputs, ROWS) - panel * PANEL);
        const Tiles right{weight, TILE_BYTES, PANEL * TILE_BYTES};
        Nothing nothing;
        for (int64_t tile = 0; tile < tiles; tile += PAIR)
            multiply<Bf16, Again::RIGHT>(
                Tiles{first + tile * TILE_BYTES, TILE_BYTES, width * GROUP_BYTES}, right,
                std::min(PAIR, tiles - tile), columns, depth, sums + tile * PANEL * TILE_SUMS,
                PANEL * TILE_SUMS, begun, nothing);
    }

    void finish_row(bf16* to, int64_t panel, const float* sums) const {
        const int64_t left = std::min(PANEL_OUTPUTS, outputs - panel * PANEL_OUTPUTS);
        for (int64_t position = 0; position < width_out(); position++) {
            const float* made =
                sums + position / ROWS * PANEL * TILE_SUMS + position % ROWS * ROWS;
            for (int64_t k = 0; k < left; k += ROWS) {
                const Floats value = load(made + k / ROWS * TILE_SUMS) +
                                     load(bias + panel * PANEL_OUTPUTS + k);
                store_part(to + position * position_stride + k, value, left - k);
            }
        }
    }

    void make(int64_t threads) const {
        by_rows(PANEL_OUTPUTS, row_sums(), threads,
                [&](int64_t frame, int64_t row, int64_t panel, float* sums) {
                    make_row(frame, row, panel, sums);
                });
    }
};

}  // namespace bf16_convolution
