// The most products a second that registers allow: no memory, no packing.

#include "products.h"

#ifdef __aarch64__
#define IN_REGISTER "w"
#else
#define IN_REGISTER "v"
#endif

#ifndef USE_AMX
namespace {

constexpr int SUMS = LANES == 16 ? 24 : 12;

inline Ints product(Ints sum, Ints left, Ints right) {
#ifdef USE_I8MM
    return dot_pairs(sum, left, right);
#else
    return dot<0>(sum, left, right, Factor{});
#endif
}

inline void loop(int64_t rounds) {
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

}  // namespace
#endif

extern "C" {

// Operations (two for a product and its sum) of `rounds` rounds of one thread.
double hy_peak_operations(int64_t rounds) {
#if defined(USE_AMX)
    return double(rounds) * 4 * 16 * 16 * 64 * 2;
#elif defined(USE_I8MM)
    return double(rounds) * SUMS * LANES * 8 * 2;
#else
    return double(rounds) * SUMS * LANES * 4 / FACTOR_TILES * 2;
#endif
}

// Products of int8, or of what int8 is multiplied as. With AMX: after hy_enable_amx() of the kernels.
void hy_peak(int64_t rounds, int64_t threads) {
#pragma omp parallel num_threads(int(threads))
    {
#ifdef USE_AMX
        const TileRegisters registers;
        for (int64_t i = 0; i < rounds; i++) {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
#else
        loop(rounds);
#endif
    }
}

}
