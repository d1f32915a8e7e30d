// Eight lanes in plain C++: what the other instruction sets are compared with.

#pragma once

template <class Make>
inline Floats each(Make make) {
    Floats result;
    for (int i = 0; i < LANES; i++) result[i] = make(i);
    return result;
}

inline Floats fma(Floats a, Floats b, Floats c) {
    return each([&](int i) { return std::fma(a[i], b[i], c[i]); });
}
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }
inline Floats magnitude(Floats a) { return as_floats(as_ints(a) & 0x7fffffff); }
inline Floats round_down(Floats a) {
    return each([&](int i) { return std::floor(a[i]); });
}
inline Floats to_floats(Ints a) { return __builtin_convertvector(a, Floats); }
inline Ints to_ints(Floats a) {  // to nearest, ties to even
    return __builtin_convertvector(each([&](int i) { return std::nearbyint(a[i]); }), Ints);
}
inline Floats times_power_of_two(Floats a, Floats whole) {
    return each([&](int i) { return std::ldexp(a[i], int(whole[i])); });
}
inline Floats swap_neighbours(Floats a) {
    return each([&](int i) { return a[i ^ 1]; });
}
// a - b in even lanes, a + b in odd ones, where a = x * y
inline Floats fma_minus_plus(Floats x, Floats y, Floats b) {
    return fma(x, y, each([&](int i) { return i % 2 ? b[i] : -b[i]; }));
}

// sum + the products of four unsigned bytes with four signed ones, in each lane
inline Ints dot_bytes(Ints sum, Ints left, Ints right) {
    for (int shift = 0; shift < 32; shift += 8)
        sum += (left >> shift & 0xff) * (right << (24 - shift) >> 24);
    return sum;
}
// sum + the products of two int16 with two others, in each lane
inline Ints dot_words(Ints sum, Ints left, Ints right) {
    return sum + (left << 16 >> 16) * (right << 16 >> 16) + (left >> 16) * (right >> 16);
}
inline Ints dot_bytes(Ints sum, Ints left, const std::int32_t* right) {
    return dot_bytes(sum, left, splat(*right));
}
inline Ints dot_words(Ints sum, Ints left, const std::int32_t* right) {
    return dot_words(sum, left, splat(*right));
}

inline Floats load(const bf16* from) {
    Ints bits;
    for (int i = 0; i < LANES; i++) bits[i] = std::int32_t(std::uint32_t(from[i]) << 16);
    return as_floats(bits);
}
// Rounds to nearest, ties to even.
inline void store(bf16* to, Floats values) {
    const Ints bits = as_ints(values), odd = bits >> 16 & 1;
    for (int i = 0; i < LANES; i++) to[i] = bf16(std::uint32_t(bits[i] + odd[i] + 0x7fff) >> 16);
}
inline void store_bytes(std::uint8_t* to, Ints values) {  // from 0 to 255
    for (int i = 0; i < LANES; i++) to[i] = std::uint8_t(std::clamp(values[i], 0, 255));
}
inline void store_words(std::int16_t* to, Ints values) {
    for (int i = 0; i < LANES; i++) to[i] = std::int16_t(values[i]);
}
