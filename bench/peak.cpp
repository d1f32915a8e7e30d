// The most products a second that registers allow: no memory, no packing.

#include "groups.h"
#include "products.h"

#ifdef __aarch64__
#define IN_REGISTER "w"
#else
#define IN_REGISTER "v"
#endif

namespace {

// What is multiplied. The numbers are those of blocks.py.
enum Factors : int64_t { BF16 = 0, INT16 = 1, INT8 = 2, LINEAR = 3 };

constexpr int SUMS = LANES == 16 ? 24 : 12;

// `product` of vectors, into SUMS sums in turns.
template <class Product>
inline void loop(int64_t rounds, Product product) {
    Ints sums[SUMS] = {};
    Ints left = splat(0x01010101), right = splat(0x01010101);
    for (int64_t i = 0; i < rounds; i++)
#pragma GCC unroll 24
        for (int j = 0; j < SUMS; j++) {
            asm volatile("" : "+" IN_REGISTER(left));  // or GCC would multiply once
            sums[j] = product(sums[j], left, right);
        }
    for (int j = 0; j < SUMS; j++) asm volatile("" : : IN_REGISTER(sums[j]));
}

#ifdef USE_AMX
template <class Product>
inline void loop_tiles(int64_t rounds, Product product) {
    const TileRegisters registers;
    for (int64_t i = 0; i < rounds; i++) product();
}
#endif

inline Ints multiply_int8(Ints sum, Ints left, Ints right) {
#ifdef USE_I8MM
    return dot_pairs(sum, left, right);
#elif defined(WIDENS_BYTES)
    return dot_words(sum, left, right);
#else
    return dot_levels<0>(sum, left, right);
#endif
}

// The rounds of one thread.
void repeat(int64_t factors, int64_t rounds) {
#ifdef USE_AMX
    if (factors == LINEAR)
        return loop_tiles(rounds, [] {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        });
    if (factors == BF16)
        return loop_tiles(rounds, [] {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        });
#elif defined(HAS_BF16)
    if (factors == BF16)
        return loop(rounds, [](Ints sum, Ints left, Ints right) {
            return dot<0>(sum, left, right, Bf16{});
        });
#endif
#ifndef NEON_VECTORS
    if (factors == INT16)
        return loop(rounds, [](Ints sum, Ints left, Ints right) {
            return dot_words(sum, left, right);
        });
#endif
    loop(rounds, multiply_int8);
}

}  // namespace

extern "C" {

// Operations (two for a product and its sum) of `rounds` rounds of one thread.
double hy_peak_operations(int64_t factors, int64_t rounds) {
    const double bytes = double(rounds) * SUMS * LANES * 4 * 2;
#ifdef USE_AMX
    const double tiles = double(rounds) * 4 * ROWS * ROWS * I8_DEPTH * 2;
    if (factors == LINEAR) return tiles;
    if (factors == BF16) return tiles / 2;
#endif
#ifdef NEON_VECTORS
    constexpr int PRODUCTS_OF_WORDS = 3;  // of bytes: see groups.h
    return bytes * TOGETHER / (factors == INT16 ? PRODUCTS_OF_WORDS : 1);
#else
    return bytes / (factors == BF16 || factors == INT16 ? 2 : FACTOR_TILES);
#endif
}

// Products of one kind. With AMX: after hy_enable_amx() of the kernels.
void hy_peak(int64_t factors, int64_t rounds, int64_t threads) {
#pragma omp parallel num_threads(int(threads))
    repeat(factors, rounds);
}

}
