// The most products a second that registers allow: no memory, no packing.

#include "products.h"

namespace {

constexpr int SUMS = LANES == 16 ? 24 : 12;

template <class Dot>
void loop(int64_t rounds, Dot dot) {
    Ints sums[SUMS] = {};
    const Ints left = splat(0x01010101), right = splat(0x01010101);
    for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 24
        for (int j = 0; j < SUMS; j++) sums[j] = dot(sums[j], left, right);
    }
    for (int j = 0; j < SUMS; j++) asm volatile("" : : "v"(sums[j]));
}

}  // namespace

extern "C" {

// Operations (two for a product and its sum) of `rounds` rounds of one thread.
double hy_peak_operations(int64_t rounds) {
#ifdef USE_AMX
    return double(rounds) * 4 * 16 * 16 * 64 * 2;
#else
    return double(rounds) * SUMS * LANES * 4 * 2;
#endif
}

// int8 products. With AMX: after hy_enable_amx() of the kernels.
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
        loop(rounds, [](Ints sum, Ints left, Ints right) { return dot_bytes(sum, left, right); });
#endif
    }
}

}
