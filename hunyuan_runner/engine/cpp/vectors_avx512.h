// Sixteen lanes: AVX-512 with VNNI, and with BF16 if there is.

#pragma once

#include <immintrin.h>

inline Floats fma(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats larger(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats magnitude(Floats a) { return _mm512_abs_ps(a); }
inline Floats round_down(Floats a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
inline Floats to_floats(Ints a) { return _mm512_cvtepi32_ps((__m512i)a); }
inline Ints to_ints(Floats a) { return (Ints)_mm512_cvtps_epi32(a); }  // to nearest, ties to even
inline Floats times_power_of_two(Floats a, Floats whole) { return _mm512_scalef_ps(a, whole); }
inline Floats swap_neighbours(Floats a) { return _mm512_permute_ps(a, 0b10110001); }
// a - b in even lanes, a + b in odd ones, where a = x * y
inline Floats fma_minus_plus(Floats x, Floats y, Floats b) { return _mm512_fmaddsub_ps(x, y, b); }

// sum + the products of four unsigned bytes with four signed ones, in each lane. GCC 12 would spill
// sums to memory if it could choose the instructions.
inline Ints dot_bytes(Ints sum, Ints left, Ints right) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
    return sum;
}
// sum + the products of two int16 with two others, in each lane
inline Ints dot_words(Ints sum, Ints left, Ints right) {
    asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
    return sum;
}
#ifdef __AVX512BF16__
// sum (fp32) + the products of two bf16 with two others, in each lane
inline Ints dot_bf16(Ints sum, Ints left, Ints right) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(left), "v"(right));
    return sum;
}
#endif
// Products of integers, with the one right operand of all lanes in memory.
inline Ints dot_bytes(Ints sum, Ints left, const std::int32_t* right) {
    asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(left), "m"(*right));
    return sum;
}
inline Ints dot_words(Ints sum, Ints left, const std::int32_t* right) {
    asm("vpdpwssd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(left), "m"(*right));
    return sum;
}

inline Floats load(const bf16* from) {
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
// Rounds to nearest, ties to even.
inline __m256i to_bf16(Floats values) {
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(values);
#else
    const Ints bits = as_ints(values);
    const Ints odd = bits >> 16 & 1;
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32((__m512i)(bits + odd + 0x7fff), 16));
#endif
}
inline void store(bf16* to, Floats values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), to_bf16(values));
}
inline void store_bytes(std::uint8_t* to, Ints values) {  // from 0 to 255
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtusepi32_epi8((__m512i)values));
}
inline void store_words(std::int16_t* to, Ints values) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtsepi32_epi16((__m512i)values));
}
