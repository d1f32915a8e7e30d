// Calls every function of a library of kernels with made-up numbers, and prints a hash of each
// result: for libraries of CPUs that only an emulator has, which does without torch.
//
//     kernels_driver LIBRARY THREADS

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using std::int64_t;
using bf16 = std::uint16_t;
template <class T>
using Many = std::vector<T>;

constexpr int64_t INT16 = 1, INT8 = 2;  // the forms, as in kernels.cpp

void* library;

template <class Result, class... Given>
Result call(const char* name, Given... given) {
    using Function = Result (*)(Given...);
    const auto function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) std::abort();
    return function(given...);
}

// The same numbers on every CPU: integers and exact steps only.
std::uint64_t state = 88172645463325252u;
std::uint32_t draw() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return std::uint32_t(state >> 32);
}
float uniform() { return float(std::int32_t(draw() >> 8) - (1 << 23)) / float(1 << 23); }
float bell() { return uniform() + uniform() + uniform(); }  // of deviation 1

Many<float> bells(int64_t count, float scale = 1.0f) {
    Many<float> all(count);
    for (auto& one : all) one = bell() * scale;
    return all;
}
Many<bf16> halves(int64_t count) {
    Many<bf16> all(count);
    for (auto& one : all) {
        const union {
            float value;
            std::uint32_t bits;
        } number{bell()};
        one = bf16(number.bits >> 16);
    }
    return all;
}

template <class T>
void report(const std::string& name, const Many<T>& result) {
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a
    const auto* bytes = reinterpret_cast<const unsigned char*>(result.data());
    for (std::size_t i = 0; i < result.size() * sizeof(T); i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    std::printf("%s %016llx\n", name.c_str(), static_cast<unsigned long long>(hash));
}

int64_t up(int64_t count, int64_t multiple) { return (count + multiple - 1) / multiple * multiple; }

void linear(int64_t rows, int64_t inputs, int64_t outputs, int64_t threads) {
    const int64_t depth = up(inputs, 64), wide = up(outputs, 16);
    Many<std::int8_t> weights(depth * wide);
    Many<std::int32_t> sums(wide);
    for (int64_t n = 0; n < outputs; n++)
        for (int64_t k = 0; k < inputs; k++) {
            const auto level = std::int8_t(int(draw() % 255) - 127);
            sums[n] += level;
            weights[(n / 16 * (depth / 64) + k / 64) * 1024 + k % 64 / 4 * 64 + n % 16 * 4 +
                    k % 4] = level;
        }
    const auto scale = bells(wide, 0.01f), bias = bells(outputs), gate = bells(outputs);
    const auto add = bells(inputs), multiply = bells(inputs), x = bells(rows * inputs, 3);
    const auto half = halves(rows * inputs);
    Many<std::uint8_t> levels(up(rows, 16) * depth);
    Many<float> row_scale(rows);
    const std::string name = "linear " + std::to_string(rows) + " x " + std::to_string(inputs) +
                             " x " + std::to_string(outputs);
    const auto run = [&](const std::string& epilogue, int64_t number, auto out) {
        call<void>("hy_linear", levels.data(), row_scale.data(), rows, inputs, weights.data(),
                   scale.data(), sums.data(), bias.data(), gate.data(), outputs, number, out.data(),
                   outputs, threads);
        report(name + epilogue, out);
    };
    call<void>("hy_quantize", half.data(), inputs, rows, inputs, levels.data(), row_scale.data(),
               threads);
    report(name + " row scale", row_scale);
    run(" store", 0, Many<bf16>(rows * outputs));
    run(" gelu", 1, Many<bf16>(rows * outputs));
    call<void>("hy_norm_quantize", x.data(), rows, inputs, multiply.data(), add.data(), 1e-6f,
               levels.data(), row_scale.data(), threads);
    run(" residual", 2, bells(rows * outputs));
}

void attention(int64_t form, int64_t rows, int64_t heads, int64_t width, int64_t threads) {
    constexpr int64_t TEXT = 3;
    const int64_t row = 3 * heads * width, video = rows - TEXT;
    const auto qkv = halves(rows * row);
    const auto q_weight = bells(width, 3), k_weight = bells(width);
    const auto cosine = bells(video * width), sine = bells(video * width);
    const auto size = call<int64_t>("hy_packed_bytes", form, rows, heads, width);
    auto* packed = static_cast<char*>(std::aligned_alloc(64, up(size, 64)));
    std::fill_n(packed, size, char(0));
    call<void>("hy_pack_qkv", form, qkv.data(), video, heads, width, q_weight.data(),
               k_weight.data(), 1e-6f, cosine.data(), sine.data(), int64_t(0), rows, packed,
               threads);
    const float* none = nullptr;
    call<void>("hy_pack_qkv", form, qkv.data() + video * row, TEXT, heads, width, q_weight.data(),
               k_weight.data(), 1e-6f, none, none, video, rows, packed, threads);
    Many<bf16> out(rows * heads * width);
    call<void>("hy_attention", form, qkv.data(), rows, heads, width, packed, out.data(),
               heads * width, threads);
    report("attention in form " + std::to_string(form) + ", " + std::to_string(rows) + " x " +
               std::to_string(heads) + " x " + std::to_string(width),
           out);
    std::free(packed);
}

void convolution(int64_t frames, int64_t height, int64_t width, int64_t channels, int64_t outputs,
                 int64_t kernel_frames, int64_t kernel_size, int64_t threads) {
    const auto x = bells(frames * height * width * channels);
    const int64_t panel = call<int64_t>("hy_convolution_panel", INT16), wide = up(outputs, panel);
    const int64_t taps = kernel_frames * kernel_size * kernel_size;
    const int most = int(call<float>("hy_convolution_level", channels));
    Many<std::int16_t> weights(wide * channels * taps), packed(wide * channels * taps);
    for (int64_t i = 0; i < outputs * channels * taps; i++)
        weights[i] = std::int16_t(int(draw() % (2 * most + 1)) - most);
    call<void>("hy_convolution_pack", weights.data(), wide / panel, channels, taps, packed.data(),
               threads);
    auto scale = bells(outputs, 0.001f), bias = bells(outputs);
    scale.resize(wide), bias.resize(wide);
    Many<std::int16_t> levels(x.size());
    Many<float> position_scale(frames * height * width);
    call<void>("hy_convolution_quantize", x.data(), frames * height * width, channels,
               levels.data(), position_scale.data(), threads);
    const int64_t made_height = height - kernel_size + 1, made_width = width - kernel_size + 1;
    Many<float> out((frames - kernel_frames + 1) * made_height * made_width * outputs);
    // Shape in convolution.h
    const int64_t row = made_width * outputs;
    const int64_t shape[] = {frames,        height,      width,       channels,
                             kernel_frames, kernel_size, kernel_size, outputs,
                             made_height * row, row, outputs};
    call<void>("hy_convolve", &shape[0], levels.data(), position_scale.data(), packed.data(),
               scale.data(), bias.data(), out.data(), threads);
    report("convolution of " + std::to_string(channels) + " to " + std::to_string(outputs), out);
}

int main(int, char** arguments) {
    library = dlopen(arguments[1], RTLD_NOW);
    if (library == nullptr) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    const int64_t threads = std::atoi(arguments[2]);
    linear(1, 16, 16, threads);
    linear(50, 32, 40, threads);
    linear(37, 192, 200, threads);
    linear(401, 64, 24, threads);   // more rows than are taken together
    linear(17, 3200, 24, threads);  // and more inputs
    for (const int64_t form : {INT16, INT8}) {
        attention(form, 5, 1, 16, threads);
        attention(form, 333, 2, 48, threads);
        attention(form, 258, 1, 128, threads);
    }
    convolution(3, 5, 9, 16, 3, 3, 3, threads);
    convolution(3, 4, 12, 48, 20, 3, 3, threads);
    convolution(2, 3, 8, 320, 16, 1, 2, threads);
}
