// The kernels of this instruction set as one table.

#include "vec.hpp"

namespace orpheus::ORPHEUS_NAMESPACE {

#define ORPHEUS_DECLARE(name, args, fields) void name(const void* args_, Team& team);
ORPHEUS_KERNELS(ORPHEUS_DECLARE)

#define ORPHEUS_NAME(name, args, fields) name,
extern const Table table;
const Table table = {B, max_pixels, max_vectors, ORPHEUS_KERNELS(ORPHEUS_NAME)};

}  // namespace orpheus::ORPHEUS_NAMESPACE
