// Concat and Split in one launch: piece number blockIdx.y is `rows` runs of `length` words of type T, from rows that
// lie `from_step` apart to rows that lie `to_step` apart.

struct Piece { const T *from; T *to; i64 rows, length, from_step, to_step; };

extern "C" __global__ void pieces(const Piece *all) {
    after_others();
    const Piece p = all[blockIdx.y];
    const i64 count = p.rows * p.length, stride = (i64)gridDim.x * blockDim.x;
    for (i64 i = INDEX; i < count; i += stride)
        p.to[i / p.length * p.to_step + i % p.length] = p.from[i / p.length * p.from_step + i % p.length];
}
