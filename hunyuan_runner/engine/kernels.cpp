// What a HunyuanVideo block computes, for x86 CPUs: int8 matrix products and exact attention in
// bfloat16, with what lies between them fused into one pass over memory each.
//
// Matrices are laid out in tiles of 16 rows by 64 bytes, as AMX takes them; without AMX the same
// tiles are multiplied with AVX-512 (VNNI, BF16), so that packed weights fit every CPU. kernels.py
// builds this file with -march=native, which decides between the two, and calls what is extern "C".
//
//   left  tile: element (m, k) of 16 x KT at [m][k]
//   right tile: element (k, n) of KT x 16 at [k / V][n][k % V]
//
// where KT is 64 and V 4 for int8, and KT is 32 and V 2 for bfloat16. Tiles are 1 KiB each.

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
#define USE_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

using std::int64_t;
using bf16 = std::uint16_t;

constexpr int64_t ROWS = 16;        // of a tile, and columns of a right tile and of a product
constexpr int64_t TILE_BYTES = 1024;
constexpr int64_t TILE_SUMS = ROWS * ROWS;  // of a tile of products, 4 bytes each
constexpr int64_t I8_DEPTH = 64;    // KT
constexpr int64_t BF16_DEPTH = 32;
constexpr int ZERO_POINT_BITS = 7;
constexpr int ZERO_POINT = 1 << ZERO_POINT_BITS;  // a quantised zero; makes activations unsigned
constexpr float LOG2E = 1.44269504088896f;

// A product is computed by pairs of rows of tiles, and by panels: as many columns of tiles as the
// registers hold results for.
constexpr int64_t PAIR = 2;
constexpr int64_t PAIR_ROWS = PAIR * ROWS;
#ifdef USE_AMX
constexpr int64_t PANEL = 2;
#else
constexpr int64_t PANEL = 3;
#endif

struct Aligned {
    void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Buffer = std::unique_ptr<T[], Aligned>;
template <class T>
Buffer<T> buffer(int64_t count) {
    const int64_t bytes = (count * int64_t(sizeof(T)) + 63) / 64 * 64;
    return Buffer<T>(static_cast<T*>(std::aligned_alloc(64, bytes)));
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---------------------------------------------------------------- tile products

// Where the tiles of an operand lie: base + outer * outer_stride + depth * depth_stride, in bytes.
// `outer` counts rows of tiles on the left, columns of tiles on the right.
struct Tiles {
    const char* base;
    int64_t outer_stride;
    int64_t depth_stride;
    const char* at(int64_t outer, int64_t depth) const {
        return base + outer * outer_stride + depth * depth_stride;
    }
};

struct Int8 {
    using Sum = std::int32_t;
};
struct Bf16 {
    using Sum = float;
};

// The operand whose tiles are soon needed again. Those of the other must not evict them from the first
// cache.
enum class Again { LEFT, RIGHT };

inline __m512i multiply_add(__m512i sum, __m512i left, __m512i right, Int8) {
    return _mm512_dpbusd_epi32(sum, left, right);
}
inline __m512i multiply_add(__m512i sum, __m512i left, __m512i right, Bf16) {
    __m512 total = _mm512_castsi512_ps(sum);
#ifdef __AVX512BF16__
    total = _mm512_dpbf16_ps(total, (__m512bh)left, (__m512bh)right);
#else
    const auto even = [](__m512i pair) { return _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)); };
    const auto odd = [](__m512i pair) {
        return _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32(0xffff0000)));
    };
    total = _mm512_fmadd_ps(even(left), even(right), total);
    total = _mm512_fmadd_ps(odd(left), odd(right), total);
#endif
    return _mm512_castps_si512(total);
}

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
                           int64_t stride, bool accumulate, Meanwhile meanwhile) {
    auto* second = sums + stride;
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
}

#else

struct TileRegisters {};

// Half a tile's rows of up to 3 tiles of the product.
template <class Kind, int N>
void multiply_half(const char* left, int64_t left_stride, Tiles right, int64_t depth,
                   typename Kind::Sum* sums, bool accumulate) {
    constexpr int HALF = 8;
    __m512i total[HALF][N];
#pragma GCC unroll 8
    for (int i = 0; i < HALF; i++)
#pragma GCC unroll 3
        for (int j = 0; j < N; j++)
            total[i][j] = accumulate ? _mm512_load_si512(sums + j * TILE_SUMS + i * ROWS)
                                     : _mm512_setzero_si512();
    for (int64_t k = 0; k < depth; k++) {
        const auto* a = reinterpret_cast<const std::int32_t*>(left + k * left_stride);
        const char* b[N];
        for (int j = 0; j < N; j++) b[j] = right.at(j, k);
        for (int64_t group = 0; group < 16; group++) {
            __m512i columns[N];
#pragma GCC unroll 3
            for (int j = 0; j < N; j++) columns[j] = _mm512_loadu_si512(b[j] + group * 64);
#pragma GCC unroll 8
            for (int i = 0; i < HALF; i++) {
                const __m512i row = _mm512_set1_epi32(a[i * 16 + group]);
#pragma GCC unroll 3
                for (int j = 0; j < N; j++)
                    total[i][j] = multiply_add(total[i][j], row, columns[j], Kind{});
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < HALF; i++)
#pragma GCC unroll 3
        for (int j = 0; j < N; j++)
            _mm512_store_si512(sums + j * TILE_SUMS + i * ROWS, total[i][j]);
}

template <class Kind, Again, int M, int N, class Meanwhile>
void multiply_tiles(Tiles left, Tiles right, int64_t depth, typename Kind::Sum* sums,
                    int64_t stride, bool accumulate, Meanwhile meanwhile) {
    for (int64_t m = 0; m < M; m++)
        for (int64_t half = 0; half < 2; half++)
            multiply_half<Kind, N>(left.at(m, 0) + half * TILE_BYTES / 2, left.depth_stride, right,
                                   depth, sums + m * stride + half * TILE_SUMS / 2, accumulate);
    // One unit does both, so nothing is won by doing it in between.
    for (int64_t k = 0; k < depth; k++) meanwhile();
}

#endif

// sums (tiles, the `rows` of them `stride` elements apart) = or += left * right: up to a pair of
// rows by a panel of columns, `depth` tiles deep. `meanwhile` is called as often as the depth says,
// to do what the vector unit can while the matrix unit works.
template <class Kind, Again AGAIN, class Meanwhile>
inline void multiply(Tiles left, Tiles right, int64_t rows, int64_t columns, int64_t depth,
                     typename Kind::Sum* sums, int64_t stride, bool accumulate,
                     Meanwhile meanwhile) {
    const auto with = [&](auto m, auto n) {
        multiply_tiles<Kind, AGAIN, m(), n()>(left, right, depth, sums, stride, accumulate,
                                            meanwhile);
    };
    const auto with_columns = [&](auto m) {
        if (columns == 1)
            with(m, std::integral_constant<int, 1>{});
        else if (columns == 2)
            with(m, std::integral_constant<int, 2>{});
        else if constexpr (PANEL == 3)
            with(m, std::integral_constant<int, 3>{});
    };
    if (rows == 1)
        with_columns(std::integral_constant<int, 1>{});
    else
        with_columns(std::integral_constant<int, 2>{});
}

// ---------------------------------------------------------------- vectors of 16 floats

inline __m512 load_bf16(const bf16* source) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Rounds to nearest, ties to even.
inline __m256i to_bf16(__m512 values) {
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(values);
#else
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
#endif
}

inline void store_bf16(bf16* target, __m512 values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), to_bf16(values));
}

// 2^x, to 1e-4 of its value: twenty times finer than bfloat16.
inline __m512 exp2_coarse(__m512 x) {
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512 part = _mm512_sub_ps(x, whole);
    __m512 power = _mm512_fmadd_ps(part, _mm512_set1_ps(0.07802f), _mm512_set1_ps(0.22606f));
    power = _mm512_fmadd_ps(power, part, _mm512_set1_ps(0.69583f));
    power = _mm512_fmadd_ps(power, part, _mm512_set1_ps(0.99992f));
    return _mm512_scalef_ps(power, whole);
}

// GELU in its tanh form: x * sigmoid(2 * sqrt(2 / pi) * (x + 0.044715 x^3)).
inline __m512 gelu(__m512 x) {
    const __m512 slope = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(0.044715f),
                                         _mm512_set1_ps(1.0f));
    __m512 exponent = _mm512_mul_ps(
        _mm512_mul_ps(x, slope), _mm512_set1_ps(-2.0f * 0.7978845608f * LOG2E));
    // 2^-100 is as good as nothing; what is denormal takes a hundred times as long
    exponent = _mm512_max_ps(exponent, _mm512_set1_ps(-100.0f));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), exp2_coarse(exponent)));
}

// ---------------------------------------------------------------- activations to int8

// One row of `depth` floats, a multiple of 16, into row `row` of left tiles that are
// `padded` deep; what it was divided by is returned.
float quantize_row(const float* values, int64_t depth, int64_t padded, std::uint8_t* tiles,
                   int64_t row) {
    __m512 most = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 16)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(values + k)));
    const float largest = std::max(_mm512_reduce_max_ps(most), 1e-20f);
    const __m512 scale = _mm512_set1_ps(127.0f / largest);
    const __m512i zero = _mm512_set1_epi32(ZERO_POINT);
    auto* target = tiles + row / ROWS * (padded / I8_DEPTH) * TILE_BYTES + row % ROWS * I8_DEPTH;
    for (int64_t k = 0; k < padded; k += 16) {
        __m512i levels = zero;
        if (k < depth)
            levels = _mm512_add_epi32(
                _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(values + k), scale)), zero);
        auto* place = target + k / I8_DEPTH * TILE_BYTES + k % I8_DEPTH;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(place), _mm512_cvtusepi32_epi8(levels));
    }
    return largest / 127.0f;
}

// ---------------------------------------------------------------- int8 linear

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

    // What the rows of a panel's outputs, from `column` on, have in common.
    struct Panel {
        int64_t column, tiles;
        bool whole_lines;
        __m512i offset[PANEL];
        __m512 scale[PANEL], shift[PANEL], gates[PANEL];
        __mmask16 mask[PANEL];
    };

    Panel panel(int64_t column, int64_t tiles) const {
        Panel panel{};
        panel.column = column;
        panel.tiles = tiles;
        const auto start = reinterpret_cast<std::uintptr_t>(static_cast<bf16*>(out) + column);
        panel.whole_lines = PANEL == 2 && column + PANEL * ROWS <= outputs && start % 64 == 0 &&
                            out_stride * sizeof(bf16) % 64 == 0;
        for (int64_t n = 0; n < tiles; n++) {
            const int64_t j = column + n * ROWS;
            const auto mask = __mmask16((1u << std::min<int64_t>(ROWS, outputs - j)) - 1);
            const auto load = [&](const float* from) {
                return from ? _mm512_maskz_loadu_ps(mask, from + j) : _mm512_setzero_ps();
            };
            panel.mask[n] = mask;
            panel.offset[n] =
                _mm512_slli_epi32(_mm512_loadu_si512(weight_sum + j), ZERO_POINT_BITS);
            panel.scale[n] = _mm512_loadu_ps(weight_scale + j);
            panel.shift[n] = load(bias);
            panel.gates[n] = load(gate);
        }
        return panel;
    }

    // Row `row` of a panel's outputs; `sums` are its places in their tiles.
    template <Epilogue EPILOGUE>
    inline void finish(const Panel& panel, const std::int32_t* sums, int64_t row) const {
        const __m512 row_scales = _mm512_set1_ps(row_scale[row]);
        __m512 value[PANEL];
#pragma GCC unroll 3
        for (int64_t n = 0; n < PANEL; n++) {
            const __m512i sum =
                _mm512_sub_epi32(_mm512_load_si512(sums + n * TILE_SUMS), panel.offset[n]);
            value[n] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum),
                                       _mm512_mul_ps(panel.scale[n], row_scales), panel.shift[n]);
            if constexpr (EPILOGUE == GELU) value[n] = gelu(value[n]);
        }
        const int64_t place = row * out_stride + panel.column;
        if constexpr (EPILOGUE == RESIDUAL) {
            for (int64_t n = 0; n < panel.tiles; n++) {
                auto* target = static_cast<float*>(out) + place + n * ROWS;
                const __m512 before = _mm512_maskz_loadu_ps(panel.mask[n], target);
                _mm512_mask_storeu_ps(target, panel.mask[n],
                                      _mm512_fmadd_ps(value[n], panel.gates[n], before));
            }
        } else if (panel.whole_lines) {
            // bypass the caches, which would first fetch what is overwritten
            const __m512i line = _mm512_inserti64x4(
                _mm512_castsi256_si512(to_bf16(value[0])), to_bf16(value[1]), 1);
            _mm512_stream_si512(reinterpret_cast<__m512i*>(static_cast<bf16*>(out) + place), line);
        } else {
            for (int64_t n = 0; n < panel.tiles; n++)
                _mm256_mask_storeu_epi16(static_cast<bf16*>(out) + place + n * ROWS,
                                         panel.mask[n], to_bf16(value[n]));
        }
    }
};

constexpr int64_t BLOCK_ROWS = 384;  // of activations, with BLOCK_DEPTH: what L2 holds
constexpr int64_t BLOCK_DEPTH = 3072;
constexpr int64_t SLICE_DEPTH = PANEL == 2 ? 1024 : 512;  // of a panel of weights: what L1 holds

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
    const auto tiles = [&](const void* start, int64_t outer, int64_t k) {
        return Tiles{static_cast<const char*>(start) + outer * strip + k * TILE_BYTES, strip,
                     TILE_BYTES};
    };
#pragma omp parallel num_threads(int(threads))
    {
        const TileRegisters registers;
        // threads share the rows, which stay in cache, and split the weights, which do not
        const int64_t worker = omp_get_thread_num(), workers = omp_get_num_threads();
        const int64_t first = panels * worker / workers, last = panels * (worker + 1) / workers;
        const bool whole = depth_tiles <= block_depth;
        auto sums = buffer<std::int32_t>(block_pairs * pair_sums * (whole ? 1 : last - first));
        for (int64_t m = 0; m < row_tiles; m += block_pairs * PAIR) {
            const int64_t end = std::min(row_tiles, m + block_pairs * PAIR);
            for (int64_t block = 0; block < depth_tiles; block += block_depth) {
                const int64_t block_end = std::min(depth_tiles, block + block_depth);
                for (int64_t panel = first; panel < last; panel++) {
                    auto* panel_sums =
                        sums.get() + (whole ? 0 : (panel - first) * block_pairs * pair_sums);
                    const int64_t n = panel * PANEL;
                    const int64_t columns = std::min(PANEL, column_tiles - n);
                    const auto common = linear.panel(n * ROWS, columns);
                    // What is ready to be finished: the rows of one pair of tiles.
                    int64_t ready = 0, ready_end = 0;
                    const auto finish = [&](int64_t count) {
                        for (; count > 0 && ready < ready_end; count--, ready++) {
                            const int64_t i = ready - m * ROWS;
                            linear.finish<EPILOGUE>(
                                common,
                                panel_sums + i / PAIR_ROWS * pair_sums +
                                    i % PAIR_ROWS / ROWS * PANEL * TILE_SUMS + i % ROWS * ROWS,
                                ready);
                        }
                    };
                    for (int64_t k = block; k < block_end; k += slice_depth) {
                        const int64_t slice = std::min(slice_depth, block_end - k);
                        for (int64_t pair = m; pair < end; pair += PAIR) {
                            multiply<Int8, Again::RIGHT>(
                                tiles(levels, pair, k), tiles(weights, n, k),
                                std::min(PAIR, end - pair), columns, slice,
                                panel_sums + (pair - m) / PAIR * pair_sums, PANEL * TILE_SUMS,
                                k > 0, [&] { finish(PAIR_ROWS / slice_depth); });
                            if (k + slice == depth_tiles) {
                                finish(PAIR_ROWS);
                                ready = pair * ROWS;
                                ready_end = std::min(rows, ready + PAIR_ROWS);
                            }
                        }
                    }
                    finish(PAIR_ROWS);
                }
            }
        }
        _mm_sfence();  // after the stores that bypassed the caches
    }
}

// ---------------------------------------------------------------- attention

// Exact softmax attention over blocks of keys (Dao et al., FlashAttention-2, arXiv:2307.08691), for
// one pair of rows of tiles of queries after the other. Scores, their exponentials (the shares) and
// what these mix of the values are three stages of a pipeline: the matrix unit is at the first and
// the last of them, and meanwhile the vector unit at the one between.
constexpr int64_t QUERY_BLOCK = 512;   // queries that are taken through
constexpr int64_t CACHED_KEYS = 1024;  // keys which L2 holds with their values;
constexpr int64_t KEY_BLOCK = 256;     // of them, those whose values are mixed in one go,
constexpr int64_t GROUP = BF16_DEPTH;  // and those scored in one go.
constexpr int64_t GROUPS = KEY_BLOCK / GROUP;
constexpr int64_t TILE_SHARES = ROWS * GROUP;

// Scores come in 128ths of a doubling: after the bias of the exponent they are the bits of their
// share in bfloat16, but for the bend of 2^x between two powers. The largest score of a row's first
// group is given a share of 2^-64, so that there is room for much larger ones after it.
constexpr int64_t DOUBLING = 128;
constexpr int64_t FIRST_EXPONENT = 63;
constexpr std::uint16_t TOO_LARGE = 0xc000;  // a share of 2 or more
constexpr float NO_SCORE = -1e30f;
constexpr short ONE_BF16 = 0x3f80;

// Where the share of a group's key comes to lie in its row: packing two vectors leaves them so.
inline int64_t share_slot(int64_t key) { return key % ROWS / 4 * 8 + key / ROWS * 4 + key % 4; }

struct QueryBlock {
    int64_t column_tiles;
    // With a pair's part of `mixed`, all that the first cache is to hold.
    Buffer<float> scores[2];                 // by group: tiles, a pair x 2
    Buffer<bf16> shares[2];                  // by block: left tiles, a pair x GROUPS
    Buffer<float> mixed;                     // by pair: tiles, a pair x column_tiles
    Buffer<float> totals;                    // by row: of its shares, in 16 parts
    float base[QUERY_BLOCK];                 // by row: what is taken from its scores
    std::int32_t outgrown[PAIR_ROWS] = {};   // by row: doublings that `mixed` has yet to shrink by
    bool any_outgrown = false;

    explicit QueryBlock(int64_t width)
        : column_tiles(width / ROWS),
          mixed(buffer<float>(QUERY_BLOCK * width)),
          totals(buffer<float>(QUERY_BLOCK * ROWS)) {
        for (auto& group : scores) group = buffer<float>(PAIR * 2 * TILE_SUMS);
        for (auto& block : shares) block = buffer<bf16>(PAIR * GROUPS * TILE_SHARES);
    }

    void begin() {
        std::fill_n(mixed.get(), QUERY_BLOCK * column_tiles * ROWS, 0.0f);
        std::fill_n(totals.get(), QUERY_BLOCK * ROWS, 0.0f);
    }

    float* mixed_of(int64_t pair) { return mixed.get() + pair * PAIR_ROWS * column_tiles * ROWS; }
    float* mixed_row(int64_t row) {
        return mixed_of(row / PAIR_ROWS) + row % PAIR_ROWS / ROWS * column_tiles * TILE_SUMS +
               row % ROWS * ROWS;
    }
    float* scores_row(int64_t group, int64_t row) {
        return scores[group % 2].get() + row / ROWS * 2 * TILE_SUMS + row % ROWS * ROWS;
    }
    bf16* shares_row(int64_t group, int64_t row) {
        return shares[group / GROUPS % 2].get() +
               (row / ROWS * GROUPS + group % GROUPS) * TILE_SHARES + row % ROWS * GROUP;
    }

    // Make nothing of a group's keys from `real` on, which do not exist.
    void hide(int64_t group, int64_t real) {
        for (int64_t row = 0; row < PAIR_ROWS; row++)
            for (int64_t key = real; key < GROUP; key++)
                scores_row(group, row)[key / ROWS * TILE_SUMS + key % ROWS] = NO_SCORE;
    }

    float largest_score(int64_t group, int64_t row) {
        const float* from = scores_row(group, row);
        return _mm512_reduce_max_ps(
            _mm512_max_ps(_mm512_load_ps(from), _mm512_load_ps(from + TILE_SUMS)));
    }

    // Choose the bases of a pair, by its first group.
    void choose_bases(int64_t pair, int64_t group) {
        for (int64_t row = 0; row < PAIR_ROWS; row++)
            base[pair * PAIR_ROWS + row] = largest_score(group, row) - FIRST_EXPONENT * DOUBLING;
    }

    // scores -> shares and totals, of SHARED_ROWS rows of a pair from `row` on.
    static constexpr int64_t SHARED_ROWS = 8;
    inline void share(int64_t pair, int64_t group, int64_t row) {
        const float* from = scores_row(group, row);
        const float* bases = base + pair * PAIR_ROWS + row;
        __m512i levels[SHARED_ROWS], all;
        do {
            all = _mm512_setzero_si512();
#pragma GCC unroll 8
            for (int64_t i = 0; i < SHARED_ROWS; i++) {
                const auto level = [&](const float* scored) {
                    return _mm512_cvtps_epi32(
                        _mm512_sub_ps(_mm512_load_ps(scored), _mm512_set1_ps(bases[i])));
                };
                levels[i] = _mm512_packus_epi32(level(from + i * ROWS),
                                                level(from + i * ROWS + TILE_SUMS));
                all = _mm512_or_si512(all, levels[i]);
            }
        } while (__builtin_expect(
                     _mm512_test_epi16_mask(all, _mm512_set1_epi16(short(TOO_LARGE))), 0) &&
                 lower(pair, group, row));
        bf16* to = shares_row(group, row);
        float* total = totals.get() + (pair * PAIR_ROWS + row) * ROWS;
        const __m512i fraction_bits = _mm512_set1_epi16(DOUBLING - 1);
#pragma GCC unroll 8
        for (int64_t i = 0; i < SHARED_ROWS; i++) {
            // 2^x = 1 + x - 0.338 x (1 - x): with the rounding to bfloat16, which alone is off by
            // 0.17 % in the root mean square, off by 0.28 %
            const __m512i part = _mm512_and_si512(levels[i], fraction_bits);
            const __m512i rest = _mm512_xor_si512(part, fraction_bits);
            const __m512i bend =
                _mm512_mulhi_epu16(_mm512_mullo_epi16(part, rest), _mm512_set1_epi16(173));
            const __m512i share = _mm512_sub_epi16(levels[i], bend);
            _mm512_store_si512(to + i * GROUP, share);
            const __m512i sum = multiply_add(_mm512_load_si512(total + i * ROWS), share,
                                             _mm512_set1_epi16(ONE_BF16), Bf16{});
            _mm512_store_si512(total + i * ROWS, sum);
        }
    }

    // Lower the shares of those rows whose scores outgrew their bases: by whole doublings, which
    // change nothing but exponents. True.
    __attribute__((noinline)) bool lower(int64_t pair, int64_t group, int64_t first) {
        for (int64_t row = first; row < first + SHARED_ROWS; row++) {
            const int64_t query = pair * PAIR_ROWS + row;
            const float above = largest_score(group, row) - base[query];
            if (above < 2 * FIRST_EXPONENT * DOUBLING) continue;
            const int64_t doublings = int64_t(above / DOUBLING) - FIRST_EXPONENT;
            base[query] += float(doublings * DOUBLING);
            const __m512i less =
                _mm512_set1_epi16(short(std::min<int64_t>(doublings * DOUBLING, 0xffff)));
            for (int64_t before = group / GROUPS * GROUPS; before < group; before++) {
                bf16* shared = shares_row(before, row);
                _mm512_store_si512(shared, _mm512_subs_epu16(_mm512_load_si512(shared), less));
            }
            scale(totals.get() + query * ROWS, std::exp2(-float(doublings)));
            outgrown[row] = std::int32_t(std::min<int64_t>(outgrown[row] + doublings, 1 << 20));
            any_outgrown = true;
        }
        return true;
    }

    // Let what a pair has mixed so far follow its bases. Before the next block's values are added.
    void shrink(int64_t pair) {
        for (int64_t row = 0; row < PAIR_ROWS; row++) {
            const float factor = std::exp2(-float(outgrown[row]));
            for (int64_t column = 0; column < column_tiles; column++)
                scale(mixed_row(pair * PAIR_ROWS + row) + column * TILE_SUMS, factor);
            outgrown[row] = 0;
        }
        any_outgrown = false;
    }

    // A row's mixed values, weighted by its shares' part in their total.
    void finish(int64_t row, bf16* out, int64_t width) {
        const __m512 total = _mm512_load_ps(totals.get() + row * ROWS);
        const __m512 factor = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(total));
        const float* from = mixed_row(row);
        for (int64_t k = 0; k < width; k += ROWS)
            store_bf16(out + k, _mm512_mul_ps(_mm512_load_ps(from + k * ROWS), factor));
    }

    static void scale(float* values, float factor) {
        _mm512_store_ps(values, _mm512_mul_ps(_mm512_load_ps(values), _mm512_set1_ps(factor)));
    }
};

// Where a stage of the pipeline is: at a group of keys and a pair of queries. All stages take the
// same way, the later ones some groups later.
struct Place {
    int64_t first_key, end_key;  // of the keys held in cache; the end is that of a block
    int64_t key = first_key;
    int64_t pair = 0;
    int64_t group = 0;           // counts on from pair to pair
    void advance() {
        group++;
        key += GROUP;
        if (key < end_key) return;
        key = first_key;
        pair++;
    }
};

// One head's queries, keys and values.
struct Head {
    const char* queries;
    const char* keys;
    const char* values;
    int64_t rows;
    int64_t depth_tiles;

    int64_t column_tiles() const { return depth_tiles * 2; }

    // queries from `first` on and keys -> scores of a group
    template <class Meanwhile>
    inline void score(QueryBlock& block, const Place& at, int64_t first,
                      Meanwhile meanwhile) const {
        const int64_t strip = depth_tiles * TILE_BYTES;
        const auto tiles = [&](const char* matrix, int64_t row) {
            return Tiles{matrix + row / ROWS * strip, strip, TILE_BYTES};
        };
        multiply<Bf16, Again::LEFT>(tiles(queries, first + at.pair * PAIR_ROWS),
                                    tiles(keys, at.key), PAIR, 2, depth_tiles,
                                    block.scores_row(at.group, 0), 2 * TILE_SUMS, false, meanwhile);
        if (rows - at.key < GROUP) block.hide(at.group, rows - at.key);
    }

    // shares of a block and values -> mixed; of their columns, that part whose turn it is at one of
    // the block's groups
    template <class Meanwhile>
    inline void mix(QueryBlock& block, const Place& at, Meanwhile meanwhile) const {
        const int64_t part = at.group % GROUPS;
        const int64_t start = at.key - part * GROUP;
        const int64_t depth = ceil_div(std::min(KEY_BLOCK, rows - start), GROUP);
        const bf16* shares = block.shares_row(at.group - part, 0);
        const Tiles left{reinterpret_cast<const char*>(shares), GROUPS * TILE_BYTES, TILE_BYTES};
        const char* first = values + start / GROUP * column_tiles() * TILE_BYTES;
        for (int64_t two = depth_tiles * part / GROUPS; two < depth_tiles * (part + 1) / GROUPS;
             two++) {
            const Tiles right{first + 2 * two * TILE_BYTES, TILE_BYTES,
                              column_tiles() * TILE_BYTES};
            multiply<Bf16, Again::LEFT>(left, right, PAIR, 2, depth,
                                        block.mixed_of(at.pair) + 2 * two * TILE_SUMS,
                                        column_tiles() * TILE_SUMS, true, meanwhile);
        }
    }

    // Take `pairs` of queries from `first` on through the keys from `first_key` on.
    void attend(QueryBlock& block, int64_t first, int64_t pairs, int64_t first_key) const {
        const int64_t held = std::min(CACHED_KEYS, rows - first_key);
        const Place begin{first_key, first_key + ceil_div(held, KEY_BLOCK) * KEY_BLOCK};
        const int64_t steps = pairs * (begin.end_key - begin.first_key) / GROUP;
        Place scored = begin, shared = begin, mixed = begin;
        for (int64_t step = 0; step < steps + 1 + GROUPS; step++) {
            const bool scores = step < steps && scored.key < rows;
            const bool shares = 1 <= step && step < 1 + steps && shared.key < rows;
            const bool mixes = 1 + GROUPS <= step;
            if (mixes && mixed.group % GROUPS == 0 && block.any_outgrown) block.shrink(mixed.pair);
            if (shares && shared.key == 0) block.choose_bases(shared.pair, shared.group);
            int64_t row = shares ? 0 : PAIR_ROWS;
            const auto share = [&] {
                if (row == PAIR_ROWS) return;
                block.share(shared.pair, shared.group, row);
                row += QueryBlock::SHARED_ROWS;
            };
            if (scores) score(block, scored, first, share);
            if (mixes) mix(block, mixed, share);
            while (row < PAIR_ROWS) share();
            if (step < steps) scored.advance();
            if (1 <= step) shared.advance();
            if (mixes) mixed.advance();
        }
    }
};

}  // namespace

extern "C" {

// Ask the operating system for AMX, once per process: 1 it is granted, -1 it is refused, 0 this
// build does without.
int hy_enable_amx() {
#ifdef USE_AMX
    constexpr int ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 ? 1 : -1;
#else
    return 0;
#endif
}

// levels, row_scale = quantise(layer_norm(x) * (1 + scale) + shift), each row by itself.
// x: rows x width fp32; levels: left tiles.
void hy_norm_quantize(const float* x, int64_t rows, int64_t width, const float* scale,
                      const float* shift, float epsilon, std::uint8_t* levels, float* row_scale,
                      int64_t threads) {
    const int64_t padded = ceil_div(width, I8_DEPTH) * I8_DEPTH;
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(width);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            const float* source = x + row * width;
            __m512 sum = _mm512_setzero_ps();
            for (int64_t k = 0; k < width; k += 16)
                sum = _mm512_add_ps(sum, _mm512_loadu_ps(source + k));
            const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(sum) / float(width));
            __m512 squares = _mm512_setzero_ps();
            for (int64_t k = 0; k < width; k += 16) {
                const __m512 off = _mm512_sub_ps(_mm512_loadu_ps(source + k), mean);
                squares = _mm512_fmadd_ps(off, off, squares);
            }
            const float variance = _mm512_reduce_add_ps(squares) / float(width);
            const __m512 norm = _mm512_set1_ps(1.0f / std::sqrt(variance + epsilon));
            for (int64_t k = 0; k < width; k += 16) {
                const __m512 factor = _mm512_add_ps(_mm512_loadu_ps(scale + k),
                                                    _mm512_set1_ps(1.0f));
                const __m512 value =
                    _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(source + k), mean), norm);
                _mm512_store_ps(line.get() + k,
                                _mm512_fmadd_ps(value, factor, _mm512_loadu_ps(shift + k)));
            }
            row_scale[row] = quantize_row(line.get(), width, padded, levels, row);
        }
    }
}

// levels, row_scale = quantise(x), each row by itself. x: rows x width bf16.
void hy_quantize(const bf16* x, int64_t stride, int64_t rows, int64_t width, std::uint8_t* levels,
                 float* row_scale, int64_t threads) {
    const int64_t padded = ceil_div(width, I8_DEPTH) * I8_DEPTH;
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(width);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t k = 0; k < width; k += 16)
                _mm512_store_ps(line.get() + k, load_bf16(x + row * stride + k));
            row_scale[row] = quantize_row(line.get(), width, padded, levels, row);
        }
    }
}

// A linear layer: levels (left tiles, rows x depth) times weights (right tiles, depth x outputs),
// scaled back, and finished as `epilogue` says. weight_scale and weight_sum are as long as the
// outputs rounded up to 16.
void hy_linear(const std::uint8_t* levels, const float* row_scale, int64_t rows, int64_t depth,
               const std::int8_t* weights, const float* weight_scale,
               const std::int32_t* weight_sum, const float* bias, const float* gate,
               int64_t outputs, int64_t epilogue, void* out, int64_t out_stride, int64_t threads) {
    const Linear linear{row_scale, weight_scale, weight_sum, bias, gate, out, out_stride, outputs};
    if (epilogue == GELU)
        multiply_linear<GELU>(linear, levels, rows, depth, weights, threads);
    else if (epilogue == RESIDUAL)
        multiply_linear<RESIDUAL>(linear, levels, rows, depth, weights, threads);
    else
        multiply_linear<STORE>(linear, levels, rows, depth, weights, threads);
}

// Queries, keys and values as attention wants them: tiles, by head. qkv: rows x 3 x heads x width
// bf16. Queries and keys are brought to unit root mean square and weighted; where there are angles,
// pairs of neighbours are turned by them (cosine, sine: rows x width). They become rows `offset`
// and following of `length` (a multiple of 32). Queries are scaled for scores in DOUBLINGs; values
// go where the shares of their keys come to lie.
void hy_pack_qkv(const bf16* qkv, int64_t rows, int64_t heads, int64_t width, const float* q_weight,
                 const float* k_weight, float epsilon, const float* cosine, const float* sine,
                 int64_t offset, int64_t length, bf16* queries, bf16* keys, bf16* values,
                 int64_t threads) {
    const int64_t padded = ceil_div(width, BF16_DEPTH) * BF16_DEPTH;
    const int64_t depth_tiles = padded / BF16_DEPTH, column_tiles = padded / ROWS;
    constexpr int64_t tile = TILE_BYTES / 2;
    const float scale = DOUBLING * LOG2E / std::sqrt(float(width));
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(padded);
        std::fill_n(line.get(), padded, 0.0f);
        auto rounded = buffer<bf16>(padded);
        const auto normalise = [&](const bf16* source, const float* weight, int64_t row,
                                   float factor) {
            __m512 squares = _mm512_setzero_ps();
            for (int64_t k = 0; k < width; k += 16) {
                const __m512 value = load_bf16(source + k);
                squares = _mm512_fmadd_ps(value, value, squares);
            }
            const float mean = _mm512_reduce_add_ps(squares) / float(width);
            const __m512 norm = _mm512_set1_ps(factor / std::sqrt(mean + epsilon));
            for (int64_t k = 0; k < width; k += 16) {
                __m512 value = _mm512_mul_ps(_mm512_mul_ps(load_bf16(source + k), norm),
                                             _mm512_loadu_ps(weight + k));
                if (cosine) {
                    // (a, b) -> (a cos - b sin, b cos + a sin)
                    const __m512 swapped = _mm512_permute_ps(value, 0b10110001);
                    const __m512 turned =
                        _mm512_mul_ps(swapped, _mm512_loadu_ps(sine + row * width + k));
                    value = _mm512_fmaddsub_ps(
                        value, _mm512_loadu_ps(cosine + row * width + k), turned);
                }
                _mm512_store_ps(line.get() + k, value);
            }
        };
#pragma omp for collapse(2) schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t head = 0; head < heads; head++) {
                const bf16* source = qkv + (row * 3 * heads + head) * width;
                const int64_t place = offset + row;
                const int64_t matrix = head * length * padded;

                normalise(source, q_weight, row, scale);
                bf16* target = queries + matrix + place / ROWS * depth_tiles * tile +
                               place % ROWS * BF16_DEPTH;
                for (int64_t k = 0; k < padded; k += 16)
                    store_bf16(target + k / BF16_DEPTH * tile + k % BF16_DEPTH,
                               _mm512_load_ps(line.get() + k));

                normalise(source + heads * width, k_weight, row, 1.0f);
                for (int64_t k = 0; k < padded; k += 16)
                    store_bf16(rounded.get() + k, _mm512_load_ps(line.get() + k));
                target = keys + matrix + place / ROWS * depth_tiles * tile;
                for (int64_t k = 0; k < padded; k += 2)
                    std::memcpy(target + k / BF16_DEPTH * tile + k % BF16_DEPTH / 2 * 32 +
                                    place % ROWS * 2,
                                rounded.get() + k, 4);

                source += 2 * heads * width;
                const int64_t slot = share_slot(place % BF16_DEPTH);
                target = values + matrix + place / BF16_DEPTH * column_tiles * tile +
                         slot / 2 * 32;
                const __mmask32 half = slot % 2 ? 0xaaaaaaaa : 0x55555555;
                for (int64_t k = 0; k < width; k += ROWS) {
                    const __m512i each = _mm512_cvtepu16_epi32(
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(source + k)));
                    const __m512i both = _mm512_or_si512(each, _mm512_slli_epi32(each, 16));
                    _mm512_mask_storeu_epi16(target + k / ROWS * tile, half, both);
                }
            }
        }
    }
}

// out (rows x heads x width bf16, row stride in elements) = softmax(queries * keys) * values.
void hy_attention(const bf16* queries, const bf16* keys, const bf16* values, int64_t rows,
                  int64_t heads, int64_t width, int64_t length, bf16* out, int64_t out_stride,
                  int64_t threads) {
    const int64_t padded = ceil_div(width, BF16_DEPTH) * BF16_DEPTH;
    const int64_t blocks = ceil_div(rows, QUERY_BLOCK);
#pragma omp parallel num_threads(int(threads))
    {
        const TileRegisters registers;
        QueryBlock block(padded);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t number = 0; number < heads; number++) {
            for (int64_t part = 0; part < blocks; part++) {
                const auto matrix = [&](const bf16* matrices) {
                    return reinterpret_cast<const char*>(matrices + number * length * padded);
                };
                const Head head{matrix(queries), matrix(keys), matrix(values), rows,
                                padded / BF16_DEPTH};
                const int64_t first = part * QUERY_BLOCK;
                const int64_t count = std::min(QUERY_BLOCK, rows - first);
                block.begin();
                for (int64_t key = 0; key < rows; key += CACHED_KEYS)
                    head.attend(block, first, ceil_div(count, PAIR_ROWS), key);
                for (int64_t row = 0; row < count; row++)
                    block.finish(row, out + (first + row) * out_stride + number * width, width);
            }
        }
    }
}

}
