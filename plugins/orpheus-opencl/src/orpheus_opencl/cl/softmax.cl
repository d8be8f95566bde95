// Softmax and LogSoftmax (LOG) along one axis: X [outer, length, inner] -> Y alike. A work item: one line along the axis.

__kernel void softmax(IN(x), OUT(y), const int length, const int inner) {
    AT(x); AT(y);
    const long first = (get_global_id(0) / inner) * length * inner + get_global_id(0) % inner;
    float top = -INFINITY, sum = 0.0f;
    for (int i = 0; i < length; ++i) top = max(top, GET(x + first + (long)i * inner));
    for (int i = 0; i < length; ++i) sum += exp(GET(x + first + (long)i * inner) - top);
#ifdef LOG
    const float rest = top + log(sum);
    for (int i = 0; i < length; ++i) PUT(GET(x + first + (long)i * inner) - rest, y + first + (long)i * inner);
#else
    const float by = 1.0f / sum;
    for (int i = 0; i < length; ++i)
        PUT(exp(GET(x + first + (long)i * inner) - top) * by, y + first + (long)i * inner);
#endif
}
