// Eight lanes: AVX2 and FMA, and AVX-VNNI if there is.

#pragma once

#include <immintrin.h>

inline Floats fma(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats larger(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats smaller(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats magnitude(Floats a) { return as_floats(as_ints(a) & 0x7fffffff); }
inline Floats round_down(Floats a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
inline Floats to_floats(Ints a) { return _mm256_cvtepi32_ps((__m256i)a); }
inline Ints to_ints(Floats a) { return (Ints)_mm256_cvtps_epi32(a); }  // to nearest, ties to even
inline Floats times_power_of_two(Floats a, Floats whole) {
    return as_floats(as_ints(a) + (to_ints(whole) << 23));
}
inline Floats swap_neighbours(Floats a) { return _mm256_permute_ps(a, 0b10110001); }
// a - b in even lanes, a + b in odd ones, where a = x * y
inline Floats fma_minus_plus(Floats x, Floats y, Floats b) { return _mm256_fmaddsub_ps(x, y, b); }

#if defined(__AVXVNNI__) || defined(__AVX512VNNI__)
#ifdef __AVXVNNI__
#define VEX "%{vex%} "
#else
#define VEX ""
#endif
// sum + the products of four unsigned bytes with four signed ones, in each lane
inline Ints dot_bytes(Ints sum, Ints left, Ints right) {
    asm(VEX "vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(left), "x"(right));
    return sum;
}
// sum + the products of two int16 with two others, in each lane
inline Ints dot_words(Ints sum, Ints left, Ints right) {
    asm(VEX "vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(left), "x"(right));
    return sum;
}
#else
// vpmaddubsw would saturate, so bytes are multiplied as words: even ones, then odd ones. Linear layers
// widen their operands once, and multiply them many times.
#define WIDENS_BYTES 1
inline Ints dot_words(Ints sum, Ints left, Ints right) {
    return sum + (Ints)_mm256_madd_epi16((__m256i)left, (__m256i)right);
}
inline Ints even_bytes(Ints all, std::uint8_t) {
    return (Ints)_mm256_and_si256((__m256i)all, _mm256_set1_epi16(0xff));
}
inline Ints odd_bytes(Ints all, std::uint8_t) { return (Ints)_mm256_srli_epi16((__m256i)all, 8); }
inline Ints even_bytes(Ints all, std::int8_t) {
    return (Ints)_mm256_srai_epi16(_mm256_slli_epi16((__m256i)all, 8), 8);
}
inline Ints odd_bytes(Ints all, std::int8_t) { return (Ints)_mm256_srai_epi16((__m256i)all, 8); }
inline Ints dot_bytes(Ints sum, Ints left, Ints right) {
    const std::uint8_t without_sign{};
    const std::int8_t with_sign{};
    sum = dot_words(sum, even_bytes(left, without_sign), even_bytes(right, with_sign));
    return dot_words(sum, odd_bytes(left, without_sign), odd_bytes(right, with_sign));
}
#endif
inline Ints dot_bytes(Ints sum, Ints left, const std::int32_t* right) {
    return dot_bytes(sum, left, splat(*right));
}
inline Ints dot_words(Ints sum, Ints left, const std::int32_t* right) {
    return dot_words(sum, left, splat(*right));
}

inline Floats load(const bf16* from) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return as_floats((Ints)_mm256_cvtepu16_epi32(half) << 16);
}
// Rounds to nearest, ties to even.
inline void store(bf16* to, Floats values) {
    const Ints bits = as_ints(values);
    const Ints odd = bits >> 16 & 1;
    const __m256i rounded = _mm256_srli_epi32((__m256i)(bits + odd + 0x7fff), 16);
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(rounded),
                                            _mm256_extracti128_si256(rounded, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), packed);
}
inline void store_bytes(std::uint8_t* to, Ints values) {  // from 0 to 255
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128((__m256i)values),
                                           _mm256_extracti128_si256((__m256i)values, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}
inline void store_words(std::int16_t* to, Ints values) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)values),
                                          _mm256_extracti128_si256((__m256i)values, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), words);
}
