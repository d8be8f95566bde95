// The kernels of this instruction set as one table.

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

#define ORPHEUS_DECLARE(name, args, fields) void name(const void* args_, Team& team);
ORPHEUS_KERNELS(ORPHEUS_DECLARE)
#define ORPHEUS_DECLARE_ROWS(name, args) void name##_rows(const void* args_, const Span& span);
ORPHEUS_ROWS(ORPHEUS_DECLARE_ROWS)

#define ORPHEUS_NAME(name, args, fields) name,
#define ORPHEUS_ROWS_NAME(name, args) name##_rows,
extern const Table table;
const Table table = {B, max_pixels, max_vectors, short_pixels, tall_vectors, ORPHEUS_KERNELS(ORPHEUS_NAME) ORPHEUS_ROWS(ORPHEUS_ROWS_NAME)};

}  // namespace orpheus::ORPHEUS_NAMESPACE
