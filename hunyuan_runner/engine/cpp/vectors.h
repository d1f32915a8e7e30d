// Vectors of 16, 8 or 4 numbers, and the few operations on them that differ between instruction sets.
// Everything else is written once, with these and with +, -, *, /, |, << of the compiler's vectors.
//
// Whatever is computed with them has the same bits with each instruction set: numbers are added in
// the same order, and a product is fused with a sum where fma() says so and nowhere else (compile
// with -ffp-contract=off).

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

using std::int64_t;
using bf16 = std::uint16_t;

// Tests define NARROW_VECTORS, for eight lanes where there could be sixteen, or PLAIN_VECTORS.
#if defined(__AVX512VNNI__) && !defined(NARROW_VECTORS)
#define WIDE_VECTORS 1
constexpr int LANES = 16;
#elif defined(__ARM_FEATURE_DOTPROD) && !defined(PLAIN_VECTORS)
#define NEON_VECTORS 1
#ifdef __ARM_FEATURE_MATMUL_INT8
#define USE_I8MM 1
#endif
constexpr int LANES = 4;
#else
constexpr int LANES = 8;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef std::int32_t Ints __attribute__((vector_size(4 * LANES)));

inline Floats splat(float value) { return value - Floats{}; }
inline Ints splat(std::int32_t value) { return value - Ints{}; }
inline Floats as_floats(Ints bits) { return reinterpret_cast<Floats>(bits); }
inline Ints as_ints(Floats bits) { return reinterpret_cast<Ints>(bits); }

template <class Vector, class T>
inline Vector read(const T* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}
inline Floats load(const float* from) { return read<Floats>(from); }
inline Ints load(const std::int32_t* from) { return read<Ints>(from); }
inline void store(float* to, Floats values) { std::memcpy(to, &values, sizeof values); }
inline void store(std::int32_t* to, Ints values) { std::memcpy(to, &values, sizeof values); }

#if defined(WIDE_VECTORS)
#include "vectors_avx512.h"
#elif defined(NEON_VECTORS)
#include "vectors_neon.h"
#elif defined(__AVX2__) && !defined(PLAIN_VECTORS)
#include "vectors_avx2.h"
#else
#include "vectors_plain.h"
#endif

#ifndef NEON_VECTORS
// What all lanes of one operand share of the other.
constexpr int SHARED = 1;
inline Ints shared(const std::int32_t* from) { return splat(*from); }
// sum + the products of four signed bytes of each lane with activations that are shared
template <int>
inline Ints dot_levels(Ints sum, Ints left, Ints right) {
    return dot_bytes(sum, right, left);
}
#endif

// what(0), what(1), ... what(COUNT - 1), of constants
template <class What, int... EACH>
inline void unrolled(What what, std::integer_sequence<int, EACH...>) {
    (what(std::integral_constant<int, EACH>{}), ...);
}
template <int COUNT, class What>
inline void unrolled(What what) {
    unrolled(what, std::make_integer_sequence<int, COUNT>{});
}

// The first `count` of a vector; the others are 0, or stay as they are.
inline Floats load_part(const float* from, int64_t count) {
    float values[LANES] = {};
    std::memcpy(values, from, std::min<int64_t>(count, LANES) * sizeof(float));
    return load(values);
}
template <class T>
inline void store_part(T* to, Floats values, int64_t count) {
    T all[LANES];
    store(all, values);
    std::memcpy(to, all, std::min<int64_t>(count, LANES) * sizeof(T));
}

// Sixteen numbers, in as many vectors as they take: what rows are read and summed by, so that sums
// do not depend on the number of lanes.
constexpr int SIXTEEN = 16 / LANES;

struct Sums16 {
    Floats part[SIXTEEN] = {};
    float total() const {
        float sums[16];
        for (int i = 0; i < SIXTEEN; i++) store(sums + i * LANES, part[i]);
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; i++) sums[i] += sums[i + half];
        return sums[0];
    }
};

inline float largest(Floats values) {
    float all[LANES];
    store(all, values);
    return *std::max_element(all, all + LANES);
}

// 2^x, to 1e-4 of its value, for x up to 127; those below -126 are taken for -126.
inline Floats exp2_coarse(Floats x) {
    x = larger(x, splat(-126.0f));
    const Floats whole = round_down(x), part = x - whole;
    Floats power = fma(part, splat(0.07802f), splat(0.22606f));
    power = fma(power, part, splat(0.69583f));
    power = fma(power, part, splat(0.99992f));
    return times_power_of_two(power, whole);
}

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

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t count, int64_t multiple) { return ceil_div(count, multiple) * multiple; }

// While one of these lives, this thread takes denormals for 0; they take a hundred times as long.
struct FlushDenormals {
#if defined(__SSE__)
    unsigned before = __builtin_ia32_stmxcsr();
    FlushDenormals() { __builtin_ia32_ldmxcsr(before | 0x8040); }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(before); }
#elif defined(__aarch64__)
    std::uint64_t before;
    FlushDenormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before));
        asm volatile("msr fpcr, %0" : : "r"(before | 1 << 24) : "memory");
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before) : "memory"); }
#endif
};
