// Products of matrices that are laid out in tiles of 16 rows by 64 bytes, as AMX takes them. Without
// AMX the same tiles are multiplied with vectors, so that packed weights fit every CPU.
//
//   left  tile: element (m, k) of 16 x KT at [m][k]
//   right tile: element (k, n) of KT x 16 at [k / V][n][k % V]
//
// where KT is 64 and V 4 for int8, and KT is 32 and V 2 for bfloat16. Tiles are 1 KiB each.
//
// Arm's I8MM multiplies two rows of eight by two columns of eight. So left tiles have element (m, k)
// at [k / 8][m][k % 8] there, and right tiles are brought to [k / 8][n][k % 8] before they are
// multiplied.

#pragma once

#include "vectors.h"

#if defined(WIDE_VECTORS) && defined(__AVX512BF16__)
#define HAS_BF16 1
#endif
#if defined(WIDE_VECTORS) && defined(__AMX_INT8__) && defined(__AMX_BF16__)
#define USE_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

constexpr int64_t ROWS = 16;        // of a tile, and columns of a right tile and of a product
constexpr int64_t TILE_BYTES = 1024;
constexpr int64_t TILE_SUMS = ROWS * ROWS;  // of a tile of products, 4 bytes each
constexpr int64_t I8_DEPTH = 64;    // KT
constexpr int64_t BF16_DEPTH = 32;

// A product is computed by pairs of rows of tiles, and by panels: as many columns of tiles as the
// registers hold results for.
constexpr int64_t PAIR = 2;
constexpr int64_t PAIR_ROWS = PAIR * ROWS;
#if defined(USE_AMX)
constexpr int64_t PANEL = 2;
#else
constexpr int64_t PANEL = LANES == 16 ? 3 : 1;
#endif

// Where the tiles of an operand lie: base + outer * outer_stride + depth * depth_stride, in bytes.
// `outer` counts rows of tiles on the left, columns of tiles on the right.
struct Tiles {
    const char* base;
    int64_t outer_stride;
    int64_t depth_stride;
    const char* at(int64_t outer, int64_t depth) const {
        return base + outer * outer_stride + depth * depth_stride;
    }
    Tiles from(int64_t outer, int64_t depth) const {
        return {at(outer, depth), outer_stride, depth_stride};
    }
};

struct Int8 {
    using Sum = std::int32_t;
};
struct Int16 {  // in tiles as of bfloat16
    using Sum = std::int32_t;
};
struct Bf16 {
    using Sum = float;
};

// What int8 is multiplied as, and how many tiles a tile of it becomes. factors() makes `strips` of
// `depth` tiles, which are `stride` bytes apart, ready to be multiplied, in `room` if need be.
#if defined(WIDENS_BYTES)
using Factor = Int16;
constexpr int64_t FACTOR_TILES = 2;  // of the even bytes, and of the odd ones
#else
using Factor = Int8;
constexpr int64_t FACTOR_TILES = 1;
#endif

inline Buffer<char> factor_room(int64_t tiles) {
#if defined(WIDENS_BYTES) || defined(USE_I8MM)
    return buffer<char>(tiles * FACTOR_TILES * TILE_BYTES);
#else
    return nullptr;
#endif
}

template <class Byte>
Tiles factors(const Byte* from, int64_t stride, int64_t strips, int64_t depth, char* room) {
    const Tiles tiles{reinterpret_cast<const char*>(from), stride, TILE_BYTES};
#if defined(WIDENS_BYTES)
    char* to = room;
    for (int64_t strip = 0; strip < strips; strip++)
        for (int64_t k = 0; k < depth; k++, to += FACTOR_TILES * TILE_BYTES)
            for (int64_t i = 0; i < TILE_BYTES; i += 4 * LANES) {
                const auto bytes = read<Ints>(tiles.at(strip, k) + i);
                store(reinterpret_cast<std::int32_t*>(to + i), even_bytes(bytes, Byte{}));
                store(reinterpret_cast<std::int32_t*>(to + TILE_BYTES + i), odd_bytes(bytes, Byte{}));
            }
    return {room, depth * FACTOR_TILES * TILE_BYTES, TILE_BYTES};
#elif defined(USE_I8MM)
    if (std::is_unsigned_v<Byte>) return tiles;  // left tiles lie as they are needed
    char* to = room;
    for (int64_t strip = 0; strip < strips; strip++)
        for (int64_t k = 0; k < depth; k++, to += TILE_BYTES)
            for (int64_t group = 0; group < 16; group += 2)
                for (int64_t j = 0; j < 4; j++) {
                    const char* four = tiles.at(strip, k) + group * 64 + j * 16;
                    const auto low = read<int32x4_t>(four), high = read<int32x4_t>(four + 64);
                    auto* place = reinterpret_cast<std::int32_t*>(to + group * 64 + j * 32);
                    vst1q_s32(place, vzip1q_s32(low, high));
                    vst1q_s32(place + 4, vzip2q_s32(low, high));
                }
    return {room, depth * TILE_BYTES, TILE_BYTES};
#else
    return tiles;
#endif
}

// What to do meanwhile, if nothing is to be done.
struct Nothing {
    void operator()() const {}
};

// The operand whose tiles are soon needed again. Those of the other must not evict them from the first
// cache.
enum class Again { LEFT, RIGHT };

#ifdef USE_AMX

struct TileConfig {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tiles are this thread's while one of these lives.
struct TileRegisters {
    TileRegisters() {
        const TileConfig config;
        // GCC takes only the first bytes for read, and would leave the others unwritten
        asm volatile("" : : "r"(&config) : "memory");
        _tile_loadconfig(&config);
    }
    ~TileRegisters() { _tile_release(); }
};

template <class Kind, Again AGAIN, int M, int N, class Meanwhile>
inline void multiply_tiles(Tiles left, Tiles right, int64_t depth, typename Kind::Sum* sums,
                           int64_t stride, bool accumulate, Meanwhile& work) {
    auto* second = sums + stride;
    Meanwhile meanwhile = work;  // which stays in registers
    if (accumulate) {
        _tile_loadd(0, sums, 64);
        if constexpr (N == 2) _tile_loadd(1, sums + TILE_SUMS, 64);
        if constexpr (M == 2) _tile_loadd(2, second, 64);
        if constexpr (M == 2 && N == 2) _tile_loadd(3, second + TILE_SUMS, 64);
    } else {
        _tile_zero(0);
        if constexpr (N == 2) _tile_zero(1);
        if constexpr (M == 2) _tile_zero(2);
        if constexpr (M == 2 && N == 2) _tile_zero(3);
    }
    for (int64_t k = 0; k < depth; k++) {
        if constexpr (AGAIN == Again::LEFT) {
            _tile_loadd(4, left.at(0, k), 64);
            if constexpr (M == 2) _tile_loadd(5, left.at(1, k), 64);
            _tile_stream_loadd(6, right.at(0, k), 64);
            if constexpr (N == 2) _tile_stream_loadd(7, right.at(1, k), 64);
        } else {
            _tile_stream_loadd(4, left.at(0, k), 64);
            if constexpr (M == 2) _tile_stream_loadd(5, left.at(1, k), 64);
            _tile_loadd(6, right.at(0, k), 64);
            if constexpr (N == 2) _tile_loadd(7, right.at(1, k), 64);
        }
        if constexpr (std::is_same_v<Kind, Int8>) {
            _tile_dpbusd(0, 4, 6);
            if constexpr (N == 2) _tile_dpbusd(1, 4, 7);
            if constexpr (M == 2) _tile_dpbusd(2, 5, 6);
            if constexpr (M == 2 && N == 2) _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (N == 2) _tile_dpbf16ps(1, 4, 7);
            if constexpr (M == 2) _tile_dpbf16ps(2, 5, 6);
            if constexpr (M == 2 && N == 2) _tile_dpbf16ps(3, 5, 7);
        }
        meanwhile();
        asm volatile("" : : : "memory");  // GCC does not know that loading a tile reads memory
    }
    _tile_stored(0, sums, 64);
    if constexpr (N == 2) _tile_stored(1, sums + TILE_SUMS, 64);
    if constexpr (M == 2) _tile_stored(2, second, 64);
    if constexpr (M == 2 && N == 2) _tile_stored(3, second + TILE_SUMS, 64);
    work = meanwhile;
}

#else

struct TileRegisters {};

#ifdef USE_I8MM

// Where element (row, k) of a left tile of int8 is.
inline int64_t place_in_tile(int64_t row, int64_t k) { return k / 8 * 128 + row * 8 + k % 8; }

// Eight rows by eight columns of a tile of the product.
__attribute__((noinline)) inline void multiply_eights(Tiles left, Tiles right, int64_t depth,
                                                      std::int32_t* sums, bool accumulate) {
    // what lies as two rows of four, as two squares, and the reverse
    const auto first = [](Ints a, Ints b) {
        return (Ints)vzip1q_s64((int64x2_t)a, (int64x2_t)b);
    };
    const auto second = [](Ints a, Ints b) {
        return (Ints)vzip2q_s64((int64x2_t)a, (int64x2_t)b);
    };
    Ints total[4][4] = {};
    if (accumulate)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
#pragma GCC unroll 2
            for (int j = 0; j < 4; j += 2) {
                const std::int32_t* place = sums + i * 2 * ROWS + j * 2;
                const Ints upper = load(place), lower = load(place + ROWS);
                total[i][j] = first(upper, lower);
                total[i][j + 1] = second(upper, lower);
            }
    for (int64_t k = 0; k < depth; k++) {
        const char *a = left.at(0, k), *b = right.at(0, k);
        for (int64_t eight = 0; eight < 8; eight++, a += 128, b += 128) {
            Ints rows[4], columns[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                rows[i] = read<Ints>(a + i * 16);
                columns[i] = read<Ints>(b + i * 16);
            }
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++)
                    total[i][j] = dot_pairs(total[i][j], rows[i], columns[j]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 2
        for (int j = 0; j < 4; j += 2) {
            std::int32_t* place = sums + i * 2 * ROWS + j * 2;
            store(place, first(total[i][j], total[i][j + 1]));
            store(place + ROWS, second(total[i][j], total[i][j + 1]));
        }
}

template <class, Again, int M, int, class Meanwhile>
void multiply_tiles(Tiles left, Tiles right, int64_t depth, std::int32_t* sums, int64_t stride,
                    bool accumulate, Meanwhile& meanwhile) {
    for (int64_t m = 0; m < M; m++)
        for (int64_t row = 0; row < ROWS; row += 8)
            for (int64_t column = 0; column < ROWS; column += 8)
                multiply_eights({left.at(m, 0) + row * 8, 0, left.depth_stride},
                                {right.base + column * 8, 0, right.depth_stride}, depth,
                                sums + m * stride + row * ROWS + column, accumulate);
    for (int64_t k = 0; k < depth; k++) meanwhile();
}

#else

// The products of columns by rows that lanes share, of which LANE is one.
template <int LANE>
inline Ints dot(Ints sum, Ints columns, Ints row, Int8) {
    return dot_levels<LANE>(sum, columns, row);
}
#ifdef WIDENS_BYTES
template <int>
inline Ints dot(Ints sum, Ints columns, Ints row, Int16) {
    return dot_words(sum, columns, row);
}
#endif
#ifdef HAS_BF16
template <int>
inline Ints dot(Ints sum, Ints columns, Ints row, Bf16) {
    return dot_bf16(sum, columns, row);
}
#endif

// R rows of N tiles of the product, from the row at `left` on.
template <class Kind, int R, int N>
__attribute__((noinline)) void multiply_rows(const char* left, int64_t left_stride, Tiles right,
                                             int64_t depth, typename Kind::Sum* sums,
                                             bool accumulate) {
    constexpr int VECTORS = N * SIXTEEN;
    const auto place = [&](int i, int j) {
        return reinterpret_cast<std::int32_t*>(sums) + j / SIXTEEN * TILE_SUMS + i * ROWS +
               j % SIXTEEN * LANES;
    };
    Ints total[R][VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) total[i][j] = accumulate ? load(place(i, j)) : Ints{};
    for (int64_t k = 0; k < depth; k++) {
        const auto* a = reinterpret_cast<const std::int32_t*>(left + k * left_stride);
        const char* b[N];
        for (int n = 0; n < N; n++) b[n] = right.at(n, k);
        // The rows of the next tile: the CPU does not foresee them, a KiB further on.
#pragma GCC unroll 8
        for (int i = 0; i < R; i++) __builtin_prefetch(left + (k + 1) * left_stride + i * 64);
        for (int64_t group = 0; group < 16; group += SHARED) {
            Ints rows[R];  // if the registers have room for them
            if constexpr (SHARED > 1)
#pragma GCC unroll 4
                for (int i = 0; i < R; i++) rows[i] = shared(a + i * 16 + group);
            unrolled<SHARED>([&](auto lane) {
                Ints columns[VECTORS];
#pragma GCC unroll 4
                for (int j = 0; j < VECTORS; j++)
                    columns[j] = read<Ints>(b[j / SIXTEEN] + (group + lane) * 64 +
                                            j % SIXTEEN * 4 * LANES);
#pragma GCC unroll 8
                for (int i = 0; i < R; i++) {
                    const Ints row = SHARED > 1 ? rows[i] : shared(a + i * 16 + group);
#pragma GCC unroll 4
                    for (int j = 0; j < VECTORS; j++)
                        total[i][j] = dot<lane>(total[i][j], columns[j], row, Kind{});
                }
            });
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int j = 0; j < VECTORS; j++) store(place(i, j), total[i][j]);
}

template <class Kind, Again, int M, int N, class Meanwhile>
void multiply_tiles(Tiles left, Tiles right, int64_t depth, typename Kind::Sum* sums,
                    int64_t stride, bool accumulate, Meanwhile& meanwhile) {
    for (int64_t m = 0; m < M; m++) {
        const auto rows = [&](int64_t first, auto count) {
            multiply_rows<Kind, count(), N>(left.at(m, 0) + first * 64, left.depth_stride, right,
                                            depth, sums + m * stride + first * ROWS, accumulate);
        };
        if constexpr (LANES == 4) {  // of 32 registers
            unrolled<4>([&](auto i) { rows(i * 4, std::integral_constant<int, 4>{}); });
        } else if constexpr (LANES == 16) {  // of 32 larger ones
            rows(0, std::integral_constant<int, 8>{});
            rows(8, std::integral_constant<int, 8>{});
        } else {  // of 16
            rows(0, std::integral_constant<int, 6>{});
            rows(6, std::integral_constant<int, 5>{});
            rows(11, std::integral_constant<int, 5>{});
        }
    }
    // One unit does both, so nothing is won by doing it in between.
    for (int64_t k = 0; k < depth; k++) meanwhile();
}

#endif
#endif

#ifndef USE_I8MM
inline int64_t place_in_tile(int64_t row, int64_t k) { return row * I8_DEPTH + k; }
#endif

// sums (tiles, the `rows` of them `stride` elements apart) = or += left * right: up to a pair of
// rows by a panel of columns, `depth` tiles deep. `meanwhile` is called as often as the depth says,
// to do what the vector unit can while the matrix unit works. It is an object of few numbers, not a
// lambda that refers to them: those would be read again after each tile.
template <class Kind, Again AGAIN, class Meanwhile>
inline void multiply(Tiles left, Tiles right, int64_t rows, int64_t columns, int64_t depth,
                     typename Kind::Sum* sums, int64_t stride, bool accumulate,
                     Meanwhile& meanwhile) {
    const auto with = [&](auto m, auto n) {
        multiply_tiles<Kind, AGAIN, m(), n()>(left, right, depth, sums, stride, accumulate,
                                            meanwhile);
    };
    const auto with_columns = [&](auto m) {
        if constexpr (PANEL >= 3)
            if (columns == 3) return with(m, std::integral_constant<int, 3>{});
        if constexpr (PANEL >= 2)
            if (columns == 2) return with(m, std::integral_constant<int, 2>{});
        with(m, std::integral_constant<int, 1>{});
    };
    if (rows == 1)
        with_columns(std::integral_constant<int, 1>{});
    else
        with_columns(std::integral_constant<int, 2>{});
}
