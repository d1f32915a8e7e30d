// AMX's instructions in plain C++, for CPUs that have everything but these. To be included before
// the kernels, which then take AMX for available.

#pragma once

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace emulated_amx {

struct Tile {
    unsigned char bytes[16][64];
};

inline thread_local Tile tiles[8];
inline thread_local bool configured = false;

inline Tile& at(int tile) {
    if (!configured) std::abort();  // as the CPU would
    return tiles[tile];
}
inline void read(int tile, const void* from, std::int64_t stride) {
    for (int row = 0; row < 16; row++)
        std::memcpy(at(tile).bytes[row], static_cast<const char*>(from) + row * stride, 64);
}
inline void write(int tile, void* to, std::int64_t stride) {
    for (int row = 0; row < 16; row++)
        std::memcpy(static_cast<char*>(to) + row * stride, at(tile).bytes[row], 64);
}
inline float of_bf16(const unsigned char* bytes) {
    std::uint16_t half;
    std::memcpy(&half, bytes, 2);
    const std::uint32_t bits = std::uint32_t(half) << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// what: the sum of 4 bytes of the left and of the right tile, added to one of the result
template <class Sum, class What>
void multiply(int result, int left, int right, What what) {
    for (int m = 0; m < 16; m++)
        for (int n = 0; n < 16; n++) {
            Sum sum;
            unsigned char* place = at(result).bytes[m] + 4 * n;
            std::memcpy(&sum, place, 4);
            for (int k = 0; k < 16; k++)
                sum = what(sum, at(left).bytes[m] + 4 * k, at(right).bytes[k] + 4 * n);
            std::memcpy(place, &sum, 4);
        }
}
inline void multiply_bytes(int result, int left, int right) {
    multiply<std::int32_t>(result, left, right, [](std::int32_t sum, const auto* a, const auto* b) {
        for (int i = 0; i < 4; i++) sum += int(a[i]) * int(std::int8_t(b[i]));
        return sum;
    });
}
inline void multiply_bf16(int result, int left, int right) {
    multiply<float>(result, left, right, [](float sum, const auto* a, const auto* b) {
        return sum + of_bf16(a) * of_bf16(b) + of_bf16(a + 2) * of_bf16(b + 2);
    });
}

}  // namespace emulated_amx

#undef _tile_loadd
#undef _tile_stream_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbusd
#undef _tile_dpbf16ps
#define _tile_loadconfig(config) (emulated_amx::configured = true)
#define _tile_release() (emulated_amx::configured = false)
#define _tile_loadd(tile, from, stride) emulated_amx::read(tile, from, stride)
#define _tile_stream_loadd(tile, from, stride) emulated_amx::read(tile, from, stride)
#define _tile_stored(tile, to, stride) emulated_amx::write(tile, to, stride)
#define _tile_zero(tile) std::memset(&emulated_amx::at(tile), 0, sizeof(emulated_amx::Tile))
#define _tile_dpbusd(result, left, right) emulated_amx::multiply_bytes(result, left, right)
#define _tile_dpbf16ps(result, left, right) emulated_amx::multiply_bf16(result, left, right)
#define syscall(...) 0  // the system grants AMX
#define __AMX_INT8__ 1
#define __AMX_BF16__ 1
