// Groups of small numbers that fill a lane, and sums of the products of groups. A group has PARTS
// parts, which are whole vectors, of COUNT numbers. TOGETHER groups of a lane lie next to each other
// in memory: groups / TOGETHER x PARTS x lanes x TOGETHER.
//
// Products are always of the lanes of one operand, each its own, by groups of the other that all
// lanes share.

#pragma once

#include "vectors.h"

#ifdef USE_I8MM
constexpr int TOGETHER = 2;
#else
constexpr int TOGETHER = 1;
#endif

// The place of a part of a lane's group, if there are as many lanes as said.
template <class Group>
inline int64_t place_of(int64_t group, int64_t part, int64_t lane, int64_t lanes) {
    return ((group / TOGETHER * Group::PARTS + part) * lanes + lane) * TOGETHER + group % TOGETHER;
}
// The same part of TOGETHER groups of as many lanes as a vector has.
inline void store_groups(std::int32_t* to, const Ints (&groups)[TOGETHER]) {
#ifdef USE_I8MM
    vst2q_s32(to, {groups[0], groups[1]});
#else
    store(to, groups[0]);
#endif
}

// Four bytes: unsigned ones by signed ones, which the lanes share.
struct Bytes {
    static constexpr int COUNT = 4, PARTS = 1;

    template <class T>
    static void pack(const T (&levels)[COUNT], T (&parts)[PARTS]) {
        parts[0] = levels[0] & 0xff;
        for (int i = 1; i < COUNT; i++) parts[0] |= (levels[i] & 0xff) << (8 * i);
    }

#ifdef NEON_VECTORS
    Ints bytes;
    Bytes() = default;
    Bytes(const std::int32_t* from, int64_t) : bytes(load(from)) {}

    struct Sum {
        Ints sum = {};
#ifdef USE_I8MM
        void add_pairs(const Bytes& lanes, const Bytes& all) {
            sum = dot_byte_pairs(sum, lanes.bytes, all.bytes);
        }
#else
        template <int LANE>
        void add(const Bytes& lanes, const Bytes& all) {
            sum = dot_levels<LANE>(sum, lanes.bytes ^ splat(std::int32_t(0x80808080)), all.bytes);
        }
#endif
        Ints total() const { return sum; }
    };
#ifndef USE_I8MM
    // Only signed bytes are multiplied by signed ones: 128 is taken from the lanes and given back.
    struct Taken {
        Ints sum = {};
        void add(const Bytes& all) {
            sum = vdotq_s32(sum, (int8x16_t)all.bytes, vdupq_n_s8(1));
        }
        Ints times(int key) const { return splat(sum[key] << 7); }
    };
#endif
#else
    template <class Right>
    static Ints add(Ints sum, Ints lanes, Right all) {
        return dot_bytes(sum, lanes, all);
    }
#endif
};

#ifdef NEON_VECTORS

// Four int16 of up to 8191, as 128 * high + low. An instruction multiplies four times as many bytes
// as int16, and three products of bytes make one of int16 (Karatsuba): with both = high + low,
//   (128 a + b) (128 c + d) = 16384 ac + 128 ((a + b) (c + d) - ac - bd) + bd
struct Words {
    static constexpr int COUNT = 4, PARTS = 2;

    template <class T>
    static T high_of(T level) {
        return (level + 64) >> 7;
    }
    template <class T>
    static T low_of(T level) {
        return level - (high_of(level) << 7);
    }
    template <class T>
    static void pack(const T (&levels)[COUNT], T (&parts)[PARTS]) {
        parts[0] = high_of(levels[0]) & 0xff;
        parts[1] = low_of(levels[0]) & 0xff;
        for (int i = 1; i < COUNT; i++) {
            parts[0] |= (high_of(levels[i]) & 0xff) << (8 * i);
            parts[1] |= (low_of(levels[i]) & 0xff) << (8 * i);
        }
    }

    struct Taken {
        void add(const Words&) {}
        Ints times(int) const { return Ints{}; }
    };

    Ints high, low, both;
    Words() = default;
    Words(const std::int32_t* from, int64_t stride)
        : high(load(from)),
          low(load(from + stride)),
          both((Ints)vaddq_s8((int8x16_t)high, (int8x16_t)low)) {}

    struct Sum {
        Ints high = {}, low = {}, both = {};
        template <int LANE>
        void add(const Words& lanes, const Words& all) {
            high = dot_levels<LANE>(high, lanes.high, all.high);
            low = dot_levels<LANE>(low, lanes.low, all.low);
            both = dot_levels<LANE>(both, lanes.both, all.both);
        }
#ifdef USE_I8MM
        void add_pairs(const Words& lanes, const Words& all) {
            high = dot_pairs(high, lanes.high, all.high);
            low = dot_pairs(low, lanes.low, all.low);
            both = dot_pairs(both, lanes.both, all.both);
        }
#endif
        Ints total() const { return (high << 14) + ((both - high - low) << 7) + low; }
    };
};

#else

// Two int16.
struct Words {
    static constexpr int COUNT = 2, PARTS = 1;

    template <class T>
    static void pack(const T (&levels)[COUNT], T (&parts)[PARTS]) {
        parts[0] = (levels[0] & 0xffff) | levels[1] << 16;
    }
    template <class Right>
    static Ints add(Ints sum, Ints lanes, Right all) {
        return dot_words(sum, lanes, all);
    }
};

#endif

// parts[…][group] = the group of level_of(0), level_of(1), …
template <class Group, class LevelOf>
inline void pack_group(LevelOf level_of, Ints (&parts)[Group::PARTS][TOGETHER], int group) {
    Ints levels[Group::COUNT], packed[Group::PARTS];
#pragma GCC unroll 4
    for (int i = 0; i < Group::COUNT; i++) levels[i] = level_of(i);
    Group::pack(levels, packed);
#pragma GCC unroll 2
    for (int i = 0; i < Group::PARTS; i++) parts[i][group] = packed[i];
}

// sum[i][j] = the products of `groups` groups of the lanes of vector j by the i-th that they share.
// left: groups of VECTORS * LANES lanes; right: groups of KEYS lanes.
template <class Group, int KEYS, int VECTORS>
inline void sum_products(const std::int32_t* left, const std::int32_t* right, int64_t groups,
                         Ints (&sum)[KEYS][VECTORS]) {
#if defined(USE_I8MM)
    // A register has two lanes, of two groups each; and so have the sums, which are 2 x 2.
    constexpr int LANE_PAIRS = VECTORS * LANES / 2, KEY_PAIRS = KEYS / 2;
    typename Group::Sum sums[KEY_PAIRS][LANE_PAIRS];
    for (int64_t group = 0; group < groups; group += TOGETHER) {
        Group all[KEY_PAIRS];
#pragma GCC unroll 2
        for (int i = 0; i < KEY_PAIRS; i++) all[i] = {right + i * LANES, KEYS * TOGETHER};
#pragma GCC unroll 4
        for (int j = 0; j < LANE_PAIRS; j++) {
            const Group lanes(left + j * LANES, VECTORS * LANES * TOGETHER);
#pragma GCC unroll 2
            for (int i = 0; i < KEY_PAIRS; i++) sums[i][j].add_pairs(lanes, all[i]);
        }
        left += Group::PARTS * VECTORS * LANES * TOGETHER;
        right += Group::PARTS * KEYS * TOGETHER;
    }
    for (int i = 0; i < KEYS; i += 2)
        for (int j = 0; j < VECTORS; j++) {
            const Ints a = sums[i / 2][2 * j].total(), b = sums[i / 2][2 * j + 1].total();
            sum[i][j] = vuzp1q_s32(a, b);
            sum[i + 1][j] = vuzp2q_s32(a, b);
        }
#elif defined(NEON_VECTORS)
    static_assert(KEYS == SHARED);
    typename Group::Sum sums[KEYS][VECTORS];
    typename Group::Taken taken;
    for (int64_t group = 0; group < groups; group++) {
        const Group all(right + group * Group::PARTS * KEYS, KEYS);
        taken.add(all);
#pragma GCC unroll 2
        for (int j = 0; j < VECTORS; j++) {
            const Group lanes(left + (group * Group::PARTS * VECTORS + j) * LANES,
                              VECTORS * LANES);
            unrolled<KEYS>([&](auto i) { sums[i][j].template add<i>(lanes, all); });
        }
    }
    for (int i = 0; i < KEYS; i++)
        for (int j = 0; j < VECTORS; j++) sum[i][j] = sums[i][j].total() + taken.times(i);
#else
    constexpr int IN_REGISTERS = 2;  // of what lanes share; the products read the others
#pragma GCC unroll 8
    for (int i = 0; i < KEYS; i++)
#pragma GCC unroll 3
        for (int j = 0; j < VECTORS; j++) sum[i][j] = Ints{};
    for (int64_t group = 0; group < groups; group++) {
        Ints lanes[VECTORS];
#pragma GCC unroll 3
        for (int j = 0; j < VECTORS; j++) lanes[j] = load(left + (group * VECTORS + j) * LANES);
        const auto* all = right + group * KEYS;
#pragma GCC unroll 8
        for (int i = 0; i < KEYS; i++) {
            if (i < IN_REGISTERS) {
                const Ints one = splat(all[i]);
#pragma GCC unroll 3
                for (int j = 0; j < VECTORS; j++) sum[i][j] = Group::add(sum[i][j], lanes[j], one);
            } else {
#pragma GCC unroll 3
                for (int j = 0; j < VECTORS; j++)
                    sum[i][j] = Group::add(sum[i][j], lanes[j], all + i);
            }
        }
    }
#endif
}
