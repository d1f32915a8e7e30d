// What a HunyuanVideo block computes: int8 matrix products and exact attention, with what lies
// between them fused into one pass over memory each. building.py builds this file for each
// instruction set, and kernels.py calls what is extern "C".

#include "convolution.h"
#include "integer_attention.h"
#ifdef HAS_BF16
#include "bf16_attention.h"
#include "bf16_convolution.h"
#endif

namespace {

// The forms of attention. The numbers are those of kernels.py.
enum Form : int64_t { BF16 = 0, INT16 = 1, INT8 = 2 };

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
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(width);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            normalize_row(x + row * width, width, scale, shift, epsilon, line.get());
            row_scale[row] =
                quantize_row(line.get(), width, round_up(width, I8_DEPTH), levels, row);
        }
    }
}

// levels, row_scale = quantise(x), each row by itself. x: rows x width bf16.
void hy_quantize(const bf16* x, int64_t stride, int64_t rows, int64_t width, std::uint8_t* levels,
                 float* row_scale, int64_t threads) {
#pragma omp parallel num_threads(int(threads))
    {
        auto line = buffer<float>(width);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t k = 0; k < width; k += LANES)
                store(line.get() + k, load(x + row * stride + k));
            row_scale[row] =
                quantize_row(line.get(), width, round_up(width, I8_DEPTH), levels, row);
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

// The bytes that the queries, keys and values of `rows` tokens take.
int64_t hy_packed_bytes(int64_t form, int64_t rows, int64_t heads, int64_t width) {
#ifdef HAS_BF16
    if (form == BF16) return bf16_attention::Packed::bytes(heads, rows, width);
#endif
    return integer_attention::Packed::bytes(heads, rows, width);
}

// Queries, keys and values as attention wants them: those of the tokens from `offset` on, `rows` of
// `all`. qkv: rows x 3 x heads x width bf16, of these tokens. The rest as in packing.h.
void hy_pack_qkv(int64_t form, const bf16* qkv, int64_t rows, int64_t heads, int64_t width,
                 const float* q_weight, const float* k_weight, float epsilon, const float* cosine,
                 const float* sine, int64_t offset, int64_t all, char* packed, int64_t threads) {
    const Qkv part{qkv, rows, heads, width, q_weight, k_weight, epsilon, cosine, sine};
#ifdef HAS_BF16
    if (form == BF16)
        return bf16_attention::pack(part, offset, {packed, heads, all, width}, threads);
#endif
    integer_attention::pack(part, offset, {packed, heads, all, width}, threads);
}

// out (rows x heads x width bf16, row stride in elements) = softmax(queries * keys) * values, of
// tokens that were packed. qkv: as for hy_pack_qkv, of all tokens.
void hy_attention(int64_t form, const bf16* qkv, int64_t rows, int64_t heads, int64_t width,
                  char* packed, bf16* out, int64_t out_stride, int64_t threads) {
#ifdef HAS_BF16
    if (form == BF16)
        return bf16_attention::attend({packed, heads, rows, width}, rows, width, out, out_stride,
                                      threads);
#endif
    const Qkv all{qkv, rows, heads, width};
    const integer_attention::Packed known{packed, heads, rows, width};
    if (form == INT8)
        integer_attention::attend<true>(all, known, out, out_stride, threads);
    else
        integer_attention::attend<false>(all, known, out, out_stride, threads);
}

// The channels that a convolution makes at a time; its weights are padded to a multiple of them.
int64_t hy_convolution_panel(int64_t form) {
#ifdef HAS_BF16
    if (form == BF16) return bf16_convolution::PANEL_OUTPUTS;
#endif
    return convolution::PANEL;
}

// The largest level of weights in int16, and of what meets them.
float hy_convolution_level(int64_t channels) {
    return most_level(std::min(channels, convolution::DEPTH));
}

// packed = the weights of a convolution as hy_convolve() takes them. levels: outputs (a multiple of
// the panel) x channels x taps.
void hy_convolution_pack(const std::int16_t* levels, int64_t panels, int64_t channels, int64_t taps,
                         std::int32_t* packed, int64_t threads) {
    convolution::pack(levels, panels, channels, taps, packed, threads);
}

// levels, scale = x by position. x: positions x channels fp32, the channels a multiple of 16.
void hy_convolution_quantize(const float* x, int64_t positions, int64_t channels,
                             std::int16_t* levels, float* scale, int64_t threads) {
    convolution::quantize(x, positions, channels, levels, scale, threads);
}

// out = the convolution of what was quantised, which has its padding; see convolution.h.
void hy_convolve(const convolution::Shape* shape, const std::int16_t* levels, const float* scale,
                 const std::int32_t* weights, const float* weight_scale, const float* bias,
                 float* out, int64_t threads) {
    convolution::Convolution{*shape, levels, scale, weights, weight_scale, bias, out}.make(threads);
}

#ifdef HAS_BF16
// arranged = x, as hy_bf16_convolve() takes it. x: rows x width x channels, the latter a multiple
// of 32.
void hy_bf16_arrange(const bf16* x, int64_t rows, int64_t width, int64_t channels, bf16* arranged,
                     int64_t threads) {
    bf16_convolution::arrange(x, rows, width, channels, arranged, threads);
}

// out = the convolution of what was arranged; see bf16_convolution.h.
void hy_bf16_convolve(const convolution::Shape* shape, const char* arranged, const char* weights,
                      const float* bias, bf16* out, int64_t threads) {
    bf16_convolution::Convolution{*shape, arranged, weights, bias, out}.make(threads);
}
#endif

}
