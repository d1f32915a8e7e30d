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
constexpr int64_t I8_DEPTH = 64;    // KT
constexpr int64_t BF16_DEPTH = 32;
constexpr int ZERO_POINT = 128;     // what a quantised zero is; makes activations unsigned
constexpr float LOG2E = 1.44269504088896f;

// The right-hand panel of a matrix product: so many tiles wide as the registers hold results for.
#ifdef USE_AMX
constexpr int64_t PANEL = 2;
#else
constexpr int64_t PANEL = 3;
#endif
constexpr int64_t PANEL_COLUMNS = PANEL * ROWS;

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
        _tile_loadconfig(&config);
    }
    ~TileRegisters() { _tile_release(); }
};

// Up to 2 x 2 tiles of the product: sums += left * right over `depth` tiles.
template <class Kind, int M, int N>
void multiply_tiles(Tiles left, Tiles right, int64_t m, int64_t n, int64_t depth,
                    typename Kind::Sum* sums, int64_t stride, bool accumulate) {
    const int64_t bytes = stride * 4;
    auto* first = sums + m * ROWS * stride + n * ROWS;
    auto* second = first + ROWS * stride;
    if (accumulate) {
        _tile_loadd(0, first, bytes);
        if constexpr (N == 2) _tile_loadd(1, first + ROWS, bytes);
        if constexpr (M == 2) _tile_loadd(2, second, bytes);
        if constexpr (M == 2 && N == 2) _tile_loadd(3, second + ROWS, bytes);
    } else {
        _tile_zero(0);
        if constexpr (N == 2) _tile_zero(1);
        if constexpr (M == 2) _tile_zero(2);
        if constexpr (M == 2 && N == 2) _tile_zero(3);
    }
    for (int64_t k = 0; k < depth; k++) {
        _tile_loadd(4, left.at(m, k), 64);
        if constexpr (M == 2) _tile_loadd(5, left.at(m + 1, k), 64);
        _tile_loadd(6, right.at(n, k), 64);
        if constexpr (N == 2) _tile_loadd(7, right.at(n + 1, k), 64);
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
    }
    _tile_stored(0, first, bytes);
    if constexpr (N == 2) _tile_stored(1, first + ROWS, bytes);
    if constexpr (M == 2) _tile_stored(2, second, bytes);
    if constexpr (M == 2 && N == 2) _tile_stored(3, second + ROWS, bytes);
}

// sums (rows * 16 x columns * 16, row stride in elements) = or += left * right.
template <class Kind>
void multiply(Tiles left, Tiles right, int64_t rows, int64_t columns, int64_t depth,
              typename Kind::Sum* sums, int64_t stride, bool accumulate) {
    for (int64_t n = 0; n < columns; n += 2) {
        const bool wide = n + 1 < columns;
        for (int64_t m = 0; m < rows; m += 2) {
            const bool tall = m + 1 < rows;
            if (tall && wide)
                multiply_tiles<Kind, 2, 2>(left, right, m, n, depth, sums, stride, accumulate);
            else if (tall)
                multiply_tiles<Kind, 2, 1>(left, right, m, n, depth, sums, stride, accumulate);
            else if (wide)
                multiply_tiles<Kind, 1, 2>(left, right, m, n, depth, sums, stride, accumulate);
            else
                multiply_tiles<Kind, 1, 1>(left, right, m, n, depth, sums, stride, accumulate);
        }
    }
}

#else

struct TileRegisters {};

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

// Half a tile's rows of up to 3 tiles of the product.
template <class Kind, int N>
void multiply_half(Tiles left, Tiles right, int64_t m, int64_t half, int64_t n, int64_t depth,
                   typename Kind::Sum* sums, int64_t stride, bool accumulate) {
    constexpr int HALF = 8;
    auto* target = sums + (m * ROWS + half * HALF) * stride + n * ROWS;
    __m512i total[HALF][N];
#pragma GCC unroll 8
    for (int i = 0; i < HALF; i++)
#pragma GCC unroll 3
        for (int j = 0; j < N; j++)
            total[i][j] = accumulate ? _mm512_loadu_si512(target + i * stride + j * ROWS)
                                     : _mm512_setzero_si512();
    for (int64_t k = 0; k < depth; k++) {
        const auto* a = reinterpret_cast<const std::int32_t*>(left.at(m, k)) + half * HALF * 16;
        const char* b[N];
        for (int j = 0; j < N; j++) b[j] = right.at(n + j, k);
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
            _mm512_storeu_si512(target + i * stride + j * ROWS, total[i][j]);
}

template <class Kind>
void multiply(Tiles left, Tiles right, int64_t rows, int64_t columns, int64_t depth,
              typename Kind::Sum* sums, int64_t stride, bool accumulate) {
    for (int64_t n = 0; n < columns; n += 3)
        for (int64_t m = 0; m < rows; m++)
            for (int64_t half = 0; half < 2; half++) {
                const int64_t width = std::min<int64_t>(3, columns - n);
                if (width == 3)
                    multiply_half<Kind, 3>(left, right, m, half, n, depth, sums, stride, accumulate);
                else if (width == 2)
                    multiply_half<Kind, 2>(left, right, m, half, n, depth, sums, stride, accumulate);
                else
                    multiply_half<Kind, 1>(left, right, m, half, n, depth, sums, stride, accumulate);
            }
}

#endif

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
    const __m512 exponent = _mm512_mul_ps(
        _mm512_mul_ps(x, slope), _mm512_set1_ps(-2.0f * 0.7978845608f * LOG2E));
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

// What becomes of a linear layer's results.
enum Epilogue : int {
    STORE = 0,     // out (bf16) = result
    GELU = 1,      // out (bf16) = gelu(result)
    RESIDUAL = 2,  // out (fp32) += gate * result
};

struct Linear {
    const float* weight_scale;        // by output
    const std::int32_t* weight_sum;   // by output, over the inputs: takes the zero point out again
    const float* bias;                // by output, or null
    const float* gate;                // by output, for RESIDUAL
    Epilogue epilogue;
    void* out;
    int64_t out_stride;               // elements
    int64_t outputs;

    void finish(const std::int32_t* sums, int64_t stride, const float* row_scale, int64_t row,
                int64_t rows, int64_t column, int64_t columns) const {
        for (int64_t n = 0; n < columns; n += ROWS) {
            const int64_t j = column + n;
            if (j >= outputs) return;
            const __mmask16 mask = __mmask16((1u << std::min<int64_t>(ROWS, outputs - j)) - 1);
            const __m512i offset = _mm512_mullo_epi32(_mm512_loadu_si512(weight_sum + j),
                                                      _mm512_set1_epi32(ZERO_POINT));
            const __m512 scale = _mm512_loadu_ps(weight_scale + j);
            const __m512 shift = bias ? _mm512_maskz_loadu_ps(mask, bias + j)
                                      : _mm512_setzero_ps();
            const __m512 gates = epilogue == RESIDUAL ? _mm512_maskz_loadu_ps(mask, gate + j)
                                                      : _mm512_setzero_ps();
            for (int64_t i = 0; i < rows; i++) {
                const __m512i sum =
                    _mm512_sub_epi32(_mm512_loadu_si512(sums + i * stride + n), offset);
                __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
                value = _mm512_fmadd_ps(value, _mm512_set1_ps(row_scale[i]), shift);
                const int64_t place = (row + i) * out_stride + j;
                if (epilogue == RESIDUAL) {
                    auto* target = static_cast<float*>(out) + place;
                    const __m512 before = _mm512_maskz_loadu_ps(mask, target);
                    _mm512_mask_storeu_ps(target, mask, _mm512_fmadd_ps(value, gates, before));
                } else {
                    if (epilogue == GELU) value = gelu(value);
                    _mm256_mask_storeu_epi16(static_cast<bf16*>(out) + place, mask,
                                             to_bf16(value));
                }
            }
        }
    }
};

constexpr int64_t BLOCK_ROWS = 384;             // of activations, with BLOCK_DEPTH: what L2 holds
constexpr int64_t BLOCK_DEPTH = 3072;
constexpr int64_t SLICE_DEPTH = 512;            // of a panel of weights: what L1 holds

// ---------------------------------------------------------------- attention

constexpr int64_t QUERY_BLOCK = 128;
constexpr int64_t KEY_BLOCK = 512;

// Exact softmax attention of QUERY_BLOCK queries of one head, over blocks of keys (Dao et al.,
// FlashAttention-2, arXiv:2307.08691).
struct QueryBlock {
    Buffer<float> scores = buffer<float>(QUERY_BLOCK * KEY_BLOCK);
    Buffer<bf16> shares = buffer<bf16>(QUERY_BLOCK * KEY_BLOCK);  // left tiles
    Buffer<float> mixed;
    float largest[QUERY_BLOCK];
    float total[QUERY_BLOCK];

    explicit QueryBlock(int64_t width) : mixed(buffer<float>(QUERY_BLOCK * width)) {}

    // scores -> shares of `keys` keys, of which those behind `real` do not exist; `padded` is
    // keys rounded up to whole tiles.
    void exponentiate(int64_t row, int64_t real, int64_t padded, int64_t width) {
        float* values = scores.get() + row * KEY_BLOCK;
        const int64_t whole = real / 16 * 16;
        const __mmask16 rest = __mmask16((1u << (real - whole)) - 1);
        const __m512 lowest = _mm512_set1_ps(-INFINITY);
        __m512 most = lowest;
        for (int64_t k = 0; k < whole; k += 16)
            most = _mm512_max_ps(most, _mm512_load_ps(values + k));
        if (rest) most = _mm512_mask_max_ps(most, rest, most, _mm512_load_ps(values + whole));
        const float before = largest[row];
        const float now = std::max(before, _mm512_reduce_max_ps(most));
        if (now > before) {
            largest[row] = now;
            const float shrink = before == -INFINITY ? 0.0f : std::exp2(before - now);
            total[row] *= shrink;
            float* line = mixed.get() + row * width;
            for (int64_t j = 0; j < width; j += 16)
                _mm512_store_ps(line + j, _mm512_mul_ps(_mm512_load_ps(line + j),
                                                        _mm512_set1_ps(shrink)));
        }
        const __m512 top = _mm512_set1_ps(now);
        __m512 sum = _mm512_setzero_ps();
        bf16* line = shares.get() + row / ROWS * (KEY_BLOCK / BF16_DEPTH) * (TILE_BYTES / 2) +
                     row % ROWS * BF16_DEPTH;
        for (int64_t k = 0; k < padded; k += 16) {
            __m512 share = _mm512_setzero_ps();
            if (k < whole)
                share = exp2_coarse(_mm512_sub_ps(_mm512_load_ps(values + k), top));
            else if (k < real)
                share = _mm512_maskz_mov_ps(
                    rest, exp2_coarse(_mm512_sub_ps(_mm512_load_ps(values + k), top)));
            sum = _mm512_add_ps(sum, share);
            store_bf16(line + k / BF16_DEPTH * (TILE_BYTES / 2) + k % BF16_DEPTH, share);
        }
        total[row] += _mm512_reduce_add_ps(sum);
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
    const Linear linear{weight_scale, weight_sum, bias, gate, Epilogue(epilogue), out, out_stride,
                        outputs};
    const int64_t depth_tiles = ceil_div(depth, I8_DEPTH);
    const int64_t row_tiles = ceil_div(rows, ROWS);
    const int64_t column_tiles = ceil_div(outputs, ROWS);
    const int64_t panels = ceil_div(column_tiles, PANEL);
    const int64_t strip = depth_tiles * TILE_BYTES;  // one row, or column, of tiles
    constexpr int64_t block_tiles = BLOCK_ROWS / ROWS;
    constexpr int64_t block_depth = BLOCK_DEPTH / I8_DEPTH;
    constexpr int64_t slice_depth = SLICE_DEPTH / I8_DEPTH;
#pragma omp parallel num_threads(int(threads))
    {
        const TileRegisters registers;
        // threads share the rows, which stay in cache, and split the weights, which do not
        const int64_t worker = omp_get_thread_num(), workers = omp_get_num_threads();
        const int64_t first = panels * worker / workers, last = panels * (worker + 1) / workers;
        const bool whole = depth_tiles <= block_depth;
        constexpr int64_t panel_sums = BLOCK_ROWS * PANEL_COLUMNS;
        auto sums = buffer<std::int32_t>(panel_sums * (whole ? 1 : last - first));
        for (int64_t m = 0; m < row_tiles; m += block_tiles) {
            const int64_t tiles = std::min(block_tiles, row_tiles - m);
            for (int64_t block = 0; block < depth_tiles; block += block_depth) {
                const int64_t block_end = std::min(depth_tiles, block + block_depth);
                for (int64_t panel = first; panel < last; panel++) {
                    auto* sum = sums.get() + (whole ? 0 : (panel - first) * panel_sums);
                    const int64_t n = panel * PANEL;
                    const int64_t columns = std::min(PANEL, column_tiles - n);
                    for (int64_t k = block; k < block_end; k += slice_depth) {
                        const Tiles left{reinterpret_cast<const char*>(levels) + m * strip +
                                             k * TILE_BYTES,
                                         strip, TILE_BYTES};
                        const Tiles right{reinterpret_cast<const char*>(weights) + n * strip +
                                              k * TILE_BYTES,
                                          strip, TILE_BYTES};
                        multiply<Int8>(left, right, tiles, columns,
                                       std::min(slice_depth, block_end - k), sum, PANEL_COLUMNS,
                                       k > 0);
                    }
                    if (block_end == depth_tiles) {
                        const int64_t row = m * ROWS;
                        linear.finish(sum, PANEL_COLUMNS, row_scale + row, row,
                                      std::min(tiles * ROWS, rows - row), n * ROWS,
                                      columns * ROWS);
                    }
                }
            }
        }
    }
}

// Queries, keys and values as attention wants them: tiles, by head. qkv: rows x 3 x heads x width
// bf16. Queries and keys are brought to unit root mean square and weighted; where there are angles,
// pairs of neighbours are turned by them (cosine, sine: rows x width). They become rows `offset` and
// following of `length` (a multiple of 32). Queries are scaled for a softmax of base 2.
void hy_pack_qkv(const bf16* qkv, int64_t rows, int64_t heads, int64_t width, const float* q_weight,
                 const float* k_weight, float epsilon, const float* cosine, const float* sine,
                 int64_t offset, int64_t length, bf16* queries, bf16* keys, bf16* values,
                 int64_t threads) {
    const int64_t padded = ceil_div(width, BF16_DEPTH) * BF16_DEPTH;
    const int64_t depth_tiles = padded / BF16_DEPTH, column_tiles = padded / ROWS;
    constexpr int64_t tile = TILE_BYTES / 2;
    const float scale = LOG2E / std::sqrt(float(width));
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
                target = values + matrix + place / BF16_DEPTH * column_tiles * tile +
                         place % BF16_DEPTH / 2 * 32 + place % 2;
                for (int64_t k = 0; k < width; k++)
                    target[k / ROWS * tile + k % ROWS * 2] = source[k];
            }
        }
    }
}

// out (rows x heads x width bf16, row stride in elements) = softmax(queries * keys) * values.
void hy_attention(const bf16* queries, const bf16* keys, const bf16* values, int64_t rows,
                  int64_t heads, int64_t width, int64_t length, bf16* out, int64_t out_stride,
                  int64_t threads) {
    const int64_t padded = ceil_div(width, BF16_DEPTH) * BF16_DEPTH;
    const int64_t depth_tiles = padded / BF16_DEPTH, column_tiles = padded / ROWS;
    const int64_t strip = depth_tiles * TILE_BYTES;
    const int64_t blocks = ceil_div(rows, QUERY_BLOCK);
#pragma omp parallel num_threads(int(threads))
    {
        const TileRegisters registers;
        QueryBlock block(padded);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t head = 0; head < heads; head++) {
            for (int64_t number = 0; number < blocks; number++) {
                const int64_t first = number * QUERY_BLOCK;
                const int64_t count = std::min(QUERY_BLOCK, rows - first);
                const int64_t tiles = ceil_div(count, ROWS);
                const int64_t matrix = head * length * padded * 2;  // bytes
                const auto base = [&](const bf16* start) {
                    return reinterpret_cast<const char*>(start) + matrix;
                };
                const Tiles query{base(queries) + first / ROWS * strip, strip, TILE_BYTES};
                std::fill_n(block.largest, QUERY_BLOCK, -INFINITY);
                std::fill_n(block.total, QUERY_BLOCK, 0.0f);
                std::fill_n(block.mixed.get(), QUERY_BLOCK * padded, 0.0f);
                for (int64_t key = 0; key < rows; key += KEY_BLOCK) {
                    const int64_t real = std::min(KEY_BLOCK, rows - key);
                    const int64_t key_tiles = ceil_div(real, BF16_DEPTH);
                    multiply<Bf16>(query, {base(keys) + key / ROWS * strip, strip, TILE_BYTES},
                                   tiles, key_tiles * 2, depth_tiles, block.scores.get(),
                                   KEY_BLOCK, false);
                    for (int64_t row = 0; row < count; row++)
                        block.exponentiate(row, real, key_tiles * BF16_DEPTH, padded);
                    multiply<Bf16>(
                        {reinterpret_cast<const char*>(block.shares.get()),
                         KEY_BLOCK / BF16_DEPTH * TILE_BYTES, TILE_BYTES},
                        {base(values) + key / BF16_DEPTH * column_tiles * TILE_BYTES, TILE_BYTES,
                         column_tiles * TILE_BYTES},
                        tiles, column_tiles, key_tiles, block.mixed.get(), padded, true);
                }
                for (int64_t row = 0; row < count; row++) {
                    const __m512 share = _mm512_set1_ps(1.0f / block.total[row]);
                    bf16* target = out + (first + row) * out_stride + head * width;
                    for (int64_t k = 0; k < width; k += 16)
                        store_bf16(target + k,
                                   _mm512_mul_ps(
                                       _mm512_load_ps(block.mixed.get() + row * padded + k),
                                       share));
                }
            }
        }
    }
}

}
