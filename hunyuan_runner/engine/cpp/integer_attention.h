// Attention in integer products: exact softmax over blocks of keys (Dao et al.,
// FlashAttention-2, arXiv:2307.08691).
//
// Queries and keys are int16, each with a scale of its own. Shares (the exponentials of scores) are
// at most 4095, relative to the largest of their block of keys; values are int16, scaled by channel
// and block. A sum of products stays within an int32. Where ROUGH is asked for, shares and values
// are 8 bits wide, so that their products take half of the time.
//
// Queries lie in lanes, so that the largest score, the scale and the sum of a query are found
// without exchanging lanes, and do not depend on the number of lanes.

#pragma once

#include "groups.h"
#include "packing.h"

namespace integer_attention {

using word = std::int16_t;

constexpr int VECTORS = LANES == 4 ? 2 : 3;
constexpr int64_t QUERIES = VECTORS * LANES;          // scored at a time,
constexpr int KEYS = LANES == 4 ? SHARED : LANES / 2;  // with as many keys; and channels mixed
constexpr int64_t QUERY_BLOCK = 192;          // taken through the keys together
constexpr int64_t KEY_BLOCK = 256;
constexpr int64_t LENGTH = 768;               // rows of a head are a multiple of both blocks
constexpr float NO_SCORE = -1e30f;

template <bool ROUGH>
struct Levels {
    using Group = std::conditional_t<ROUGH, Bytes, Words>;  // of shares, and of values
    static constexpr float SHARE = ROUGH ? 255 : 4095, VALUE = ROUGH ? 127 : 2047;
};

// The heads' queries, keys and values, as they lie in memory one after the other.
struct Packed {
    int64_t heads, width, length;
    word *queries, *keys, *values;
    float *query_scale, *key_scale, *value_scale;

    Packed(char* memory, int64_t heads, int64_t rows, int64_t width)
        : heads(heads), width(width), length(round_up(rows, LENGTH)) {
        const auto take = [&](auto*& part, int64_t count) {
            part = reinterpret_cast<std::remove_reference_t<decltype(part)>>(memory);
            memory += round_up(count * int64_t(sizeof *part), 64);
        };
        take(queries, heads * length * width);
        take(keys, heads * length * width);
        take(values, heads * length * width);
        take(query_scale, heads * length);
        take(key_scale, heads * length);
        take(value_scale, heads * length / KEY_BLOCK * width);
        end = memory;
    }

    static int64_t bytes(int64_t heads, int64_t rows, int64_t width) {
        return Packed(nullptr, heads, rows, width).end - static_cast<char*>(nullptr);
    }

    // of a head, from the strip or block that `row` is in
    word* strip(word* part, int64_t head, int64_t row, int64_t rows) const {
        return part + (head * length + row / rows * rows) * width;
    }
    float* value_scales(int64_t head, int64_t key) const {
        return value_scale + (head * length + key) / KEY_BLOCK * width;
    }

  private:
    char* end;
};

// `line` as levels of at most `most`, in groups: those of a lane of a strip. The scale is returned.
inline float quantize_groups(float* line, int64_t width, float most, word* strip, int64_t lane,
                             int64_t lanes) {
    Floats magnitudes = splat(1e-6f);
    for (int64_t k = 0; k < width; k += LANES)
        magnitudes = larger(magnitudes, magnitude(load(line + k)));
    const float top = largest(magnitudes);
    auto* levels = reinterpret_cast<std::int32_t*>(line);
    for (int64_t k = 0; k < width; k += LANES)
        store(levels + k, to_ints(load(line + k) * splat(most / top)));
    auto* to = reinterpret_cast<std::int32_t*>(strip);
    for (int64_t group = 0; group < width / Words::COUNT; group++) {
        std::int32_t one[Words::COUNT], parts[Words::PARTS];
        std::memcpy(one, levels + group * Words::COUNT, sizeof one);
        Words::pack(one, parts);
        for (int i = 0; i < Words::PARTS; i++)
            to[place_of<Words>(group, i, lane, lanes)] = parts[i];
    }
    return top / most;
}

// Queries and keys of `qkv` become rows `offset` and following. Values wait for attend().
inline void pack(const Qkv& qkv, int64_t offset, const Packed& packed, int64_t threads) {
    const int64_t width = qkv.width;
    const float most = most_level(width), sharpness = LOG2E / std::sqrt(float(width));
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(width);
#pragma omp for collapse(2) schedule(static)
        for (int64_t row = 0; row < qkv.rows; row++) {
            for (int64_t head = 0; head < qkv.heads; head++) {
                const int64_t place = offset + row, scale = head * packed.length + place;
                qkv.normalize(row, head, Qkv::QUERY, 1.0f, line.get());
                packed.query_scale[scale] =
                    sharpness *
                    quantize_groups(line.get(), width, most,
                                    packed.strip(packed.queries, head, place, QUERIES),
                                    place % QUERIES, QUERIES);
                qkv.normalize(row, head, Qkv::KEY, 1.0f, line.get());
                packed.key_scale[scale] = quantize_groups(
                    line.get(), width, most,
                    packed.strip(packed.keys, head, place, KEYS), place % KEYS, KEYS);
            }
        }
    }
}

// What the values of a channel take, of a block of keys.
template <class Group>
constexpr int64_t channel_ints() {
    return KEY_BLOCK / Group::COUNT * Group::PARTS;
}

// The values of a block of keys, from `first` on, become levels: by KEYS channels, by group of keys.
// `source` is room for them as they are.
template <bool ROUGH>
void quantize_values(const Qkv& qkv, const Packed& packed, int64_t head, int64_t first,
                     bf16* source) {
    using Group = typename Levels<ROUGH>::Group;
    const int64_t width = packed.width, rows = std::min(KEY_BLOCK, qkv.rows - first);
    word* block = packed.strip(packed.values, head, first, KEY_BLOCK);
    float* scales = packed.value_scales(head, first);
    for (int64_t row = 0; row < rows; row++)
        std::memcpy(source + row * width, qkv.at(first + row, head, Qkv::VALUE),
                    width * sizeof(bf16));
    std::memset(source + rows * width, 0, (KEY_BLOCK - rows) * width * sizeof(bf16));
    for (int64_t channel = 0; channel < width; channel += LANES) {
        Floats top = splat(1e-20f);
        for (int64_t row = 0; row < rows; row++)
            top = larger(top, magnitude(load(source + row * width + channel)));
        store(scales + channel, top / splat(Levels<ROUGH>::VALUE));
        const Floats factor = splat(Levels<ROUGH>::VALUE) / top;
        auto* to = reinterpret_cast<std::int32_t*>(block) + channel * channel_ints<Group>();
        for (int64_t row = 0; row < KEY_BLOCK; row += Group::COUNT * TOGETHER) {
            Ints parts[Group::PARTS][TOGETHER];
            for (int group = 0; group < TOGETHER; group++)
                pack_group<Group>(
                    [&](int i) {
                        const bf16* from =
                            source + (row + group * Group::COUNT + i) * width + channel;
                        return to_ints(load(from) * factor);
                    },
                    parts, group);
            for (int part = 0; part < Group::PARTS; part++, to += KEYS * TOGETHER) {
                std::int32_t lanes[LANES * TOGETHER];
                store_groups(lanes, parts[part]);
                for (int64_t i = 0; i < LANES; i += KEYS)
                    std::memcpy(to + i * channel_ints<Group>(), lanes + i * TOGETHER,
                                KEYS * TOGETHER * 4);
            }
        }
    }
}

// Scores of KEYS keys, of which `real` exist, for QUERIES queries whose scale is yet to be applied;
// `most` follows the largest of each query.
__attribute__((noinline)) inline void score(const word* queries, const word* keys, int64_t width,
                                            const float* key_scale, int64_t real, float* scores,
                                            Floats* most) {
    Ints sum[KEYS][VECTORS];
    sum_products<Words>(reinterpret_cast<const std::int32_t*>(queries),
                        reinterpret_cast<const std::int32_t*>(keys), width / Words::COUNT, sum);
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; j++)
#pragma GCC unroll 8
        for (int i = 0; i < KEYS; i++) {
            const Floats scored =
                i < real ? to_floats(sum[i][j]) * splat(key_scale[i]) : splat(NO_SCORE);
            most[j] = larger(most[j], scored);
            store(scores + (i * VECTORS + j) * LANES, scored);
        }
}

// Shares of `keys` keys: 2^(score * scale + shift), in groups; `total` is their sum.
template <bool ROUGH>
__attribute__((noinline)) void share(const float* scores, int64_t keys, const Floats* scale,
                                     const Floats* shift, std::int32_t* shares, Ints* total) {
    using Group = typename Levels<ROUGH>::Group;
    Ints sum[VECTORS] = {};
    for (int64_t key = 0; key < keys; key += Group::COUNT * TOGETHER) {
#pragma GCC unroll 3
        for (int j = 0; j < VECTORS; j++) {
            Ints parts[Group::PARTS][TOGETHER];
#pragma GCC unroll 2
            for (int group = 0; group < TOGETHER; group++)
                pack_group<Group>(
                    [&](int i) {
                        const int64_t place = key + group * Group::COUNT + i;
                        const float* from = scores + (place * VECTORS + j) * LANES;
                        const Ints level =
                            to_ints(exp2_coarse(fma(load(from), scale[j], shift[j])));
                        sum[j] += level;
                        return level;
                    },
                    parts, group);
#pragma GCC unroll 2
            for (int part = 0; part < Group::PARTS; part++)
                store_groups(shares + (part * VECTORS + j) * LANES * TOGETHER, parts[part]);
        }
        shares += Group::PARTS * QUERIES * TOGETHER;
    }
    for (int j = 0; j < VECTORS; j++) total[j] = sum[j];
}

// mixed = mixed * shrink + the values of KEYS channels by their shares * grow
template <bool ROUGH>
__attribute__((noinline)) void mix(const std::int32_t* shares, const std::int32_t* values,
                                   int64_t keys, const float* value_scale, const Floats* shrink,
                                   const Floats* grow, float* mixed) {
    using Group = typename Levels<ROUGH>::Group;
    Ints sum[KEYS][VECTORS];
    sum_products<Group>(shares, values, keys / Group::COUNT, sum);
#pragma GCC unroll 3
    for (int j = 0; j < VECTORS; j++)
#pragma GCC unroll 8
        for (int i = 0; i < KEYS; i++) {
            float* place = mixed + (i * VECTORS + j) * LANES;
            const Floats added = to_floats(sum[i][j]) * (grow[j] * splat(value_scale[i]));
            store(place, fma(load(place), shrink[j], added));
        }
}

// One thread's room, and the way of a block of queries through the keys of a head.
template <bool ROUGH>
struct QueryBlock {
    static constexpr int64_t STRIPS = QUERY_BLOCK / QUERIES;
    using Group = typename Levels<ROUGH>::Group;

    const Packed& packed;
    int64_t rows, head, first;
    Buffer<float> scores = buffer<float>(KEY_BLOCK * QUERIES);
    Buffer<std::int32_t> shares = buffer<std::int32_t>(channel_ints<Group>() * QUERIES);
    Buffer<float> mixed = buffer<float>(QUERY_BLOCK * packed.width);  // by strip, by channel
    Floats most[STRIPS][VECTORS], total[STRIPS][VECTORS];

    int64_t strips() const {
        return ceil_div(std::min(QUERY_BLOCK, rows - first), QUERIES);
    }

    void attend() {
        std::fill_n(mixed.get(), QUERY_BLOCK * packed.width, 0.0f);
        for (int64_t strip = 0; strip < strips(); strip++)
            for (int j = 0; j < VECTORS; j++) {
                most[strip][j] = splat(NO_SCORE);
                total[strip][j] = Floats{};
            }
        for (int64_t key = 0; key < rows; key += KEY_BLOCK)
            for (int64_t strip = 0; strip < strips(); strip++) attend(strip, key);
    }

    void attend(int64_t strip, int64_t key) {
        const int64_t width = packed.width, query = first + strip * QUERIES;
        const int64_t keys = std::min(KEY_BLOCK, rows - key);
        const int64_t scored = round_up(keys, KEYS * TOGETHER);
        const float* key_scale = packed.key_scale + head * packed.length + key;
        Floats top[VECTORS];
        for (int j = 0; j < VECTORS; j++) top[j] = splat(NO_SCORE);
        for (int64_t k = 0; k < scored; k += KEYS)
            score(packed.strip(packed.queries, head, query, QUERIES),
                  packed.strip(packed.keys, head, key + k, KEYS), width, key_scale + k, keys - k,
                  scores.get() + k * QUERIES, top);

        Floats scale[VECTORS], shift[VECTORS], shrink[VECTORS], grow[VECTORS];
        for (int j = 0; j < VECTORS; j++) {
            scale[j] = load(packed.query_scale + head * packed.length + query + j * LANES);
            const Floats peak = top[j] * scale[j], before = most[strip][j];
            const Floats now = larger(before, peak);
            most[strip][j] = now;
            shift[j] = splat(std::log2(Levels<ROUGH>::SHARE)) - peak;
            shrink[j] = exp2_coarse(before - now);
            grow[j] = exp2_coarse(peak - now);
        }
        Ints sum[VECTORS];
        share<ROUGH>(scores.get(), scored, scale, shift, shares.get(), sum);
        for (int j = 0; j < VECTORS; j++)
            total[strip][j] = fma(total[strip][j], shrink[j], grow[j] * to_floats(sum[j]));
        const auto* values = reinterpret_cast<const std::int32_t*>(
            packed.strip(packed.values, head, key, KEY_BLOCK));
        const float* value_scale = packed.value_scales(head, key);
        for (int64_t channel = 0; channel < width; channel += KEYS)
            mix<ROUGH>(shares.get(), values + channel * channel_ints<Group>(), scored,
                       value_scale + channel, shrink, grow,
                       mixed.get() + (strip * width + channel) * QUERIES);
    }

    // Each query's mixed values, divided by its total: a row of `out` in bf16.
    void finish(bf16* out, int64_t out_stride) const {
        const int64_t width = packed.width;
        for (int64_t query = first; query < std::min(rows, first + QUERY_BLOCK); query++) {
            const int64_t strip = (query - first) / QUERIES, lane = (query - first) % QUERIES;
            const Floats part =
                splat(1.0f / total[strip][lane / LANES][lane % LANES]);
            const float* from = mixed.get() + strip * width * QUERIES + lane;
            for (int64_t k = 0; k < width; k += LANES) {
                float channels[LANES];
                for (int64_t i = 0; i < LANES; i++) channels[i] = from[(k + i) * QUERIES];
                store(out + query * out_stride + head * width + k, load(channels) * part);
            }
        }
    }
};

// out (rows x heads x width bf16) = softmax(queries * keys) * values, of all rows of `qkv`
template <bool ROUGH>
void attend(const Qkv& qkv, const Packed& packed, bf16* out, int64_t out_stride, int64_t threads) {
#pragma omp parallel num_threads(int(threads))
    {
        const FlushDenormals flush;
        {
            auto source = buffer<bf16>(KEY_BLOCK * packed.width);
#pragma omp for collapse(2) schedule(static)
            for (int64_t head = 0; head < packed.heads; head++)
                for (int64_t key = 0; key < qkv.rows; key += KEY_BLOCK)
                    quantize_values<ROUGH>(qkv, packed, head, key, source.get());
        }
        QueryBlock<ROUGH> block{packed, qkv.rows};
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t head = 0; head < packed.heads; head++)
            for (int64_t first = 0; first < qkv.rows; first += QUERY_BLOCK) {
                block.head = head;
                block.first = first;
                block.attend();
                block.finish(out, out_stride);
            }
    }
}

}  // namespace integer_attention
