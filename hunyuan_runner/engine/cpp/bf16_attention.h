// Attention in bfloat16 with float32 sums, for CPUs that multiply bfloat16.
//
// Exact softmax attention over blocks of keys (Dao et al., FlashAttention-2, arXiv:2307.08691), for
// one pair of rows of tiles of queries after the other. While the matrix unit scores a group of keys,
// the vector unit makes the exponentials (the shares) of the group before. Once it has those of a
// block of keys, they mix the block's values, and are added up meanwhile.

#pragma once

#include "packing.h"

namespace bf16_attention {

// Queries that are taken through keys. Of those, L2 holds what they mix: 2 MB with AMX.
#ifdef USE_AMX
constexpr int64_t QUERY_BLOCK = 1024;
#else
constexpr int64_t QUERY_BLOCK = 512;
#endif
constexpr int64_t CACHED_KEYS = 512;   // keys that L2 holds, too, with their values, and the next;
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

// How far 1 + x lies above 2^x, in 128ths: for 32 parts of a doubling. A share of nothing stays
// nothing. With the rounding to bfloat16, which alone is off by 0.17 % in the root mean square,
// shares are off by 0.26 %.
alignas(64) constexpr std::uint16_t BENDS[32] = {
    0,  2,  3,  4,  5,  6,  7,  8, 8, 9,  9,  10, 10, 11, 11, 11,
    11, 11, 11, 11, 11, 10, 10, 9, 9, 8,  7,  6,  5,  4,  3,  1,
};

// Where the share of a group's key comes to lie in its row: packing two vectors leaves them so.
inline int64_t share_slot(int64_t key) { return key % ROWS / 4 * 8 + key / ROWS * 4 + key % 4; }

struct QueryBlock {
    int64_t column_tiles;
    // With a pair's part of `mixed`, all that the first cache is to hold.
    Buffer<float> scores[2];                 // by group: tiles, a pair x 2
    Buffer<bf16> shares;                     // left tiles, a pair x GROUPS
    Buffer<float> mixed;                     // by pair: tiles, a pair x column_tiles
    Buffer<float> totals;                    // by row: of its shares, in 16 parts
    float base[QUERY_BLOCK];                 // by row: what is taken from its scores
    std::int32_t outgrown[PAIR_ROWS] = {};   // by row: doublings that these have yet to shrink by
    bool any_outgrown = false;

    explicit QueryBlock(int64_t width)
        : column_tiles(width / ROWS),
          shares(buffer<bf16>(PAIR * GROUPS * TILE_SHARES)),
          mixed(buffer<float>(QUERY_BLOCK * width)),
          totals(buffer<float>(QUERY_BLOCK * ROWS)) {
        for (auto& group : scores) group = buffer<float>(PAIR * 2 * TILE_SUMS);
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
    float* total_of(int64_t pair) { return totals.get() + pair * PAIR_ROWS * ROWS; }
    float* scores_row(int64_t group, int64_t row) {
        return scores[group % 2].get() + row / ROWS * 2 * TILE_SUMS + row % ROWS * ROWS;
    }
    bf16* shares_row(int64_t group, int64_t row) {
        return shares.get() + (row / ROWS * GROUPS + group % GROUPS) * TILE_SHARES +
               row % ROWS * GROUP;
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

    // scores -> shares, of SHARED_ROWS rows of a pair from `row` on.
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
        const __m512i bends = _mm512_load_si512(BENDS);
#pragma GCC unroll 8
        for (int64_t i = 0; i < SHARED_ROWS; i++) {
            const __m512i bend = _mm512_permutexvar_epi16(_mm512_srli_epi16(levels[i], 2), bends);
            _mm512_store_si512(to + i * GROUP, _mm512_sub_epi16(levels[i], bend));
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
            outgrown[row] = std::int32_t(std::min<int64_t>(outgrown[row] + doublings, 1 << 20));
            any_outgrown = true;
        }
        return true;
    }

    // Let what a pair has mixed and added up so far follow its bases. Before the next block's.
    void shrink(int64_t pair) {
        for (int64_t row = 0; row < PAIR_ROWS; row++) {
            const float factor = std::exp2(-float(outgrown[row]));
            for (int64_t column = 0; column < column_tiles; column++)
                scale(mixed_row(pair * PAIR_ROWS + row) + column * TILE_SUMS, factor);
            scale(total_of(pair) + row * ROWS, factor);
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
            store(out + k, _mm512_mul_ps(_mm512_load_ps(from + k * ROWS), factor));
    }

    static void scale(float* values, float factor) {
        _mm512_store_ps(values, _mm512_mul_ps(_mm512_load_ps(values), _mm512_set1_ps(factor)));
    }
};

// A group of keys and a pair of queries. Each pair is taken through all keys that are held in cache.
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

// Makes the shares of a group, for the rows of a pair: some of them at each call.
struct Sharing {
    QueryBlock* block;
    int64_t pair, group;
    int64_t row, end;
    void operator()() {
        if (row < end) block->share(pair, group, row);
        row += QueryBlock::SHARED_ROWS;
    }
    void rest() {
        while (row < end) (*this)();
    }
};

// Adds a block's shares to the totals of a pair: of one row at each call.
struct Adding {
    const bf16* shares;
    float* totals;
    int64_t groups;  // of the block
    int64_t row = 0;
    void operator()() {
        if (row < PAIR_ROWS) add();
    }
    void rest() {
        while (row < PAIR_ROWS) add();
    }
    void add() {
        const bf16* from = shares + row / ROWS * GROUPS * TILE_SHARES + row % ROWS * GROUP;
        float* total = totals + row * ROWS;
        __m512 sum = _mm512_load_ps(total);
        for (int64_t group = 0; group < groups; group++)
            sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_load_si512(from + group * TILE_SHARES),
                                   (__m512bh)_mm512_set1_epi16(ONE_BF16));
        _mm512_store_ps(total, sum);
        row++;
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
    inline void score(QueryBlock& block, const Place& at, int64_t first, Sharing& sharing) const {
        const int64_t strip = depth_tiles * TILE_BYTES;
        const auto tiles = [&](const char* matrix, int64_t row) {
            return Tiles{matrix + row / ROWS * strip, strip, TILE_BYTES};
        };
        multiply<Bf16, Again::LEFT>(tiles(queries, first + at.pair * PAIR_ROWS),
                                    tiles(keys, at.key), PAIR, 2, depth_tiles,
                                    block.scores_row(at.group, 0), 2 * TILE_SUMS, false, sharing);
        if (rows - at.key < GROUP) block.hide(at.group, rows - at.key);
    }

    // shares of the block that ends with a group, and values -> mixed and totals. Not inlined:
    // together with scoring, GCC runs out of registers.
    __attribute__((noinline)) void mix(QueryBlock& block, const Place& last) const {
        const int64_t start = last.key - (GROUPS - 1) * GROUP;
        const int64_t depth = ceil_div(std::min(KEY_BLOCK, rows - start), GROUP);
        const Tiles left{reinterpret_cast<const char*>(block.shares.get()), GROUPS * TILE_BYTES,
                         TILE_BYTES};
        const char* first = values + start / GROUP * column_tiles() * TILE_BYTES;
        Adding adding{block.shares.get(), block.total_of(last.pair), depth};
        for (int64_t column = 0; column < column_tiles(); column += 2) {
            const Tiles right{first + column * TILE_BYTES, TILE_BYTES,
                              column_tiles() * TILE_BYTES};
            multiply<Bf16, Again::LEFT>(left, right, PAIR, 2, depth,
                                        block.mixed_of(last.pair) + column * TILE_SUMS,
                                        column_tiles() * TILE_SUMS, true, adding);
        }
        adding.rest();
    }

    // Fetch the keys from `first_key` on that L2 is to hold next, and their values, `lines` of them
    // at each step. Each key has as many lines of a cache as it has tiles in depth.
    void fetch(int64_t first_key, int64_t step, int64_t lines) const {
        const int64_t end = std::min(CACHED_KEYS, rows - first_key) * depth_tiles;
        for (int64_t line = step * lines; line < std::min(end, (step + 1) * lines); line++) {
            const int64_t place = (first_key * depth_tiles + line) * LINE_BYTES;
            __builtin_prefetch(keys + place, 0, 2);
            __builtin_prefetch(values + place, 0, 2);
        }
    }

    // Take `pairs` of queries from `first` on through the keys from `first_key` on.
    void attend(QueryBlock& block, int64_t first, int64_t pairs, int64_t first_key) const {
        const int64_t held = std::min(CACHED_KEYS, rows - first_key);
        const Place begin{first_key, first_key + ceil_div(held, KEY_BLOCK) * KEY_BLOCK};
        const int64_t steps = pairs * (begin.end_key - begin.first_key) / GROUP;
        const int64_t next_key = begin.end_key < rows ? begin.end_key : 0;
        const int64_t lines = ceil_div(CACHED_KEYS * depth_tiles, steps);
        Place scored = begin, shared = begin;  // the latter is a group behind
        for (int64_t step = 0; step <= steps; step++) {
            const bool shares = step > 0 && shared.key < rows;
            if (shares && shared.key == 0) block.choose_bases(shared.pair, shared.group);
            Sharing sharing{&block, shared.pair, shared.group, 0, shares ? PAIR_ROWS : 0};
            if (step < steps && scored.key < rows) score(block, scored, first, sharing);
            sharing.rest();
            fetch(next_key, step, lines);
            if (step < steps) scored.advance();
            if (step == 0) continue;
            if (shared.group % GROUPS == GROUPS - 1) {
                if (block.any_outgrown) block.shrink(shared.pair);
                mix(block, shared);
            }
            shared.advance();
        }
    }
};

// The heads' queries, keys and values in tiles: heads x length x width each, rounded up to 32.
struct Packed {
    int64_t heads, width, length;
    bf16 *queries, *keys, *values;

    Packed(char* memory, int64_t heads, int64_t rows, int64_t width)
        : heads(heads), width(round_up(width, BF16_DEPTH)), length(round_up(rows, GROUP)),
          queries(reinterpret_cast<bf16*>(memory)), keys(queries + matrix() * heads),
          values(keys + matrix() * heads) {}

    int64_t matrix() const { return length * width; }
    static int64_t bytes(int64_t heads, int64_t rows, int64_t width) {
        return 3 * heads * Packed(nullptr, heads, rows, width).matrix() * int64_t(sizeof(bf16));
    }
};

// Rows of `qkv` become rows `offset` and following. Queries are scaled for scores in DOUBLINGs;
// values go where the shares of their keys come to lie.
inline void pack(const Qkv& qkv, int64_t offset, const Packed& packed, int64_t threads) {
    const int64_t width = qkv.width, padded = packed.width;
    const int64_t depth_tiles = padded / BF16_DEPTH, column_tiles = padded / ROWS;
    constexpr int64_t tile = TILE_BYTES / 2;
    const float scale = DOUBLING * LOG2E / std::sqrt(float(width));
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(padded);
        std::fill_n(line.get(), padded, 0.0f);
        auto rounded = buffer<bf16>(padded);
#pragma omp for collapse(2) schedule(static)
        for (int64_t row = 0; row < qkv.rows; row++) {
            for (int64_t head = 0; head < qkv.heads; head++) {
                const int64_t place = offset + row, matrix = head * packed.matrix();

                qkv.normalize(row, head, Qkv::QUERY, scale, line.get());
                bf16* target = packed.queries + matrix + place / ROWS * depth_tiles * tile +
                               place % ROWS * BF16_DEPTH;
                for (int64_t k = 0; k < padded; k += 16)
                    store(target + k / BF16_DEPTH * tile + k % BF16_DEPTH, load(line.get() + k));

                qkv.normalize(row, head, Qkv::KEY, 1.0f, line.get());
                for (int64_t k = 0; k < padded; k += 16)
                    store(rounded.get() + k, load(line.get() + k));
                target = packed.keys + matrix + place / ROWS * depth_tiles * tile;
                for (int64_t k = 0; k < padded; k += 2)
                    std::memcpy(target + k / BF16_DEPTH * tile + k % BF16_DEPTH / 2 * 32 +
                                    place % ROWS * 2,
                                rounded.get() + k, 4);

                const bf16* source = qkv.at(row, head, Qkv::VALUE);
                const int64_t slot = share_slot(place % BF16_DEPTH);
                target = packed.values + matrix + place / BF16_DEPTH * column_tiles * tile +
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

// out (rows x heads x `width` bf16, row stride in elements) = softmax(queries * keys) * values
inline void attend(const Packed& packed, int64_t rows, int64_t width, bf16* out,
                   int64_t out_stride, int64_t threads) {
    const int64_t blocks = ceil_div(rows, QUERY_BLOCK);
#pragma omp parallel num_threads(int(threads))
    {
        const TileRegisters registers;
        QueryBlock block(packed.width);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t number = 0; number < packed.heads; number++) {
            for (int64_t part = 0; part < blocks; part++) {
                const auto matrix = [&](const bf16* matrices) {
                    return reinterpret_cast<const char*>(matrices + number * packed.matrix());
                };
                const Head head{matrix(packed.queries), matrix(packed.keys),
                                matrix(packed.values), rows, packed.width / BF16_DEPTH};
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

}  // namespace bf16_attention
