// What both forms of attention do first with queries and keys.

#pragma once

#include "linear.h"

// Queries, keys and values of some tokens: rows x 3 x heads x width bf16. Queries and keys are
// brought to unit root mean square and weighted; where there are angles, pairs of neighbours are
// turned by them (cosine, sine: rows x width).
struct Qkv {
    const bf16* values;
    int64_t rows, heads, width;
    const float* q_weight;
    const float* k_weight;
    float epsilon;
    const float* cosine;
    const float* sine;

    enum Kind { QUERY, KEY, VALUE };

    const bf16* at(int64_t row, int64_t head, Kind kind) const {
        return values + ((row * 3 + kind) * heads + head) * width;
    }

    // line (`width` floats) = a query or key, normalised, turned and times `factor`
    void normalize(int64_t row, int64_t head, Kind kind, float factor, float* line) const {
        const bf16* source = at(row, head, kind);
        const float* weight = kind == QUERY ? q_weight : k_weight;
        Sums16 squares;
        for (int64_t k = 0; k < width; k += 16)
            for (int i = 0; i < SIXTEEN; i++) {
                const Floats value = load(source + k + i * LANES);
                squares.part[i] = fma(value, value, squares.part[i]);
            }
        const Floats norm =
            splat(factor / std::sqrt(squares.total() / float(width) + epsilon));
        for (int64_t k = 0; k < width; k += LANES) {
            Floats value = load(source + k) * norm * load(weight + k);
            if (cosine) {
                // (a, b) -> (a cos - b sin, b cos + a sin)
                const Floats turned = swap_neighbours(value) * load(sine + row * width + k);
                value = fma_minus_plus(value, load(cosine + row * width + k), turned);
            }
            store(line + k, value);
        }
    }
};
