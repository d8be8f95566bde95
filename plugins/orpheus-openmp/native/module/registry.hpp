// What this build has: its instruction sets, and the kernels with their arguments by name.
#pragma once

#include <cstddef>
#include <vector>

#include "args.hpp"

#define ORPHEUS_DECLARE(isa) namespace isa { extern const orpheus::Table table; }
namespace orpheus {
ORPHEUS_DECLARE(generic)
#ifdef ORPHEUS_HAS_neon
ORPHEUS_DECLARE(neon)
#endif
#ifdef ORPHEUS_HAS_avx2
ORPHEUS_DECLARE(avx2)
#endif
#ifdef ORPHEUS_HAS_avx512
ORPHEUS_DECLARE(avx512)
#endif

struct Isa {
    const char* name;
    const Table* table;
    bool usable;
};

// Best first. Detection asks the processor and whether the system saves its registers.
inline std::vector<Isa> isas() {
    std::vector<Isa> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
#ifdef ORPHEUS_HAS_avx512
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    found.push_back({"avx512", &avx512::table, has_avx512});
#endif
#ifdef ORPHEUS_HAS_avx2
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    found.push_back({"avx2", &avx2::table, has_avx2});
#endif
#ifdef ORPHEUS_HAS_neon
    found.push_back({"neon", &neon::table, true});  // every AArch64 processor has it
#endif
    found.push_back({"generic", &generic::table, true});
    return found;
}

enum class Kind { integer, real, input, output, integers, doubles, bytes, bytes_out };
template <class T> constexpr Kind kind_of = Kind::integer;
template <> constexpr Kind kind_of<float> = Kind::real;
template <> constexpr Kind kind_of<Ptr> = Kind::input;
template <> constexpr Kind kind_of<Out> = Kind::output;
template <> constexpr Kind kind_of<Ints> = Kind::integers;
template <> constexpr Kind kind_of<Doubles> = Kind::doubles;
template <> constexpr Kind kind_of<Bytes> = Kind::bytes;
template <> constexpr Kind kind_of<BytesOut> = Kind::bytes_out;

struct Field {
    const char* name;
    Kind kind;
    std::size_t offset;
};

struct Family {
    const char* name;
    Kernel Table::*entry;
    std::size_t size;
    std::vector<Field> fields;
};

inline const std::vector<Family>& families() {
#define ORPHEUS_FIELD(type, field) {#field, kind_of<type>, offsetof(Args, field)},
#define ORPHEUS_FAMILY(kernel, args, all) \
    [] {                                  \
        using Args = args;                \
        return Family{#kernel, &Table::kernel, sizeof(Args), {all(ORPHEUS_FIELD)}}; \
    }(),
    static const std::vector<Family> known = {ORPHEUS_KERNELS(ORPHEUS_FAMILY)};
    return known;
}

}  // namespace orpheus
