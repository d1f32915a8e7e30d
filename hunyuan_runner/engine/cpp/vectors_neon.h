// Four lanes: Arm's NEON with dot products of bytes.

#pragma once

#include <arm_neon.h>

inline Floats fma(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
inline Floats larger(Floats a, Floats b) { return vmaxq_f32(a, b); }
inline Floats smaller(Floats a, Floats b) { return vminq_f32(a, b); }
inline Floats magnitude(Floats a) { return vabsq_f32(a); }
inline Floats round_down(Floats a) { return vrndmq_f32(a); }
inline Floats to_floats(Ints a) { return vcvtq_f32_s32(a); }
inline Ints to_ints(Floats a) { return vcvtnq_s32_f32(a); }  // to nearest, ties to even
inline Floats times_power_of_two(Floats a, Floats whole) {
    return as_floats(as_ints(a) + (to_ints(whole) << 23));
}
inline Floats swap_neighbours(Floats a) { return vrev64q_f32(a); }
// a - b in even lanes, a + b in odd ones, where a = x * y
inline Floats fma_minus_plus(Floats x, Floats y, Floats b) {
    const Ints minus = {INT32_MIN, 0, INT32_MIN, 0};
    return fma(x, y, as_floats(as_ints(b) ^ minus));
}

// What four lanes of one operand share with all lanes of the other: they are taken one by one.
constexpr int SHARED = 4;
inline Ints shared(const std::int32_t* from) { return load(from); }

// sum + the products of four signed bytes of each lane with those of lane LANE of `right`. GCC 12
// would copy sums from register to register if it could choose the instructions.
template <int LANE>
inline Ints dot_levels(Ints sum, Ints left, Ints right) {
    asm("sdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(sum) : "w"(left), "w"(right), "i"(LANE));
    return sum;
}

#ifdef USE_I8MM
// sum (2 x 2) + the products of two rows of eight signed bytes by two columns of as many
inline Ints dot_pairs(Ints sum, Ints rows, Ints columns) {
    asm("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(rows), "w"(columns));
    return sum;
}
// The same, with unsigned rows.
inline Ints dot_byte_pairs(Ints sum, Ints rows, Ints columns) {
    asm("usmmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(rows), "w"(columns));
    return sum;
}
#endif

inline Floats load(const bf16* from) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(from), 16));
}
// Rounds to nearest, ties to even.
inline void store(bf16* to, Floats values) {
    const Ints bits = as_ints(values), odd = bits >> 16 & 1;
    vst1_u16(to, vshrn_n_u32((uint32x4_t)(bits + odd + 0x7fff), 16));
}
inline void store_bytes(std::uint8_t* to, Ints values) {  // the lowest 8 bits
    const uint16x4_t words = vmovn_u32((uint32x4_t)values);
    const uint8x8_t bytes = vmovn_u16(vcombine_u16(words, words));
    std::memcpy(to, &bytes, LANES);
}
