// What gemm.cl reads: B [K, N] by strides -> panels [NB, K, 16]. A work item: one row of a panel.

// Columns beyond N are zero.
__kernel void panels(IN(b), OUT(y), const int K, const int N, const long row, const long column, const long matrix) {
    AT(b); AT(y);
    const int k = get_global_id(0), nb = get_global_id(1);
    const long batch = get_global_id(2), NB = get_global_size(1);
    for (int j = 0; j < BLOCK; ++j) {
        const int n = nb * BLOCK + j;
        PUT(n < N ? GET(b + batch * matrix + k * row + n * column) : 0.0f, y + ((batch * NB + nb) * K + k) * BLOCK + j);
    }
}
