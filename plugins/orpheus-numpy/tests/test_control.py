"""Control flow with Python functions as subgraphs; sequences and optionals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from orpheus_numpy.control import branch, scan, sequence

from orpheus_core.plugin import Problem
from orpheus_core.types import UNKNOWN, DType, TensorType

FEW = settings(max_examples=40, deadline=None)


def problem(*outputs):
    return Problem("op", "", 25, {}, (), outputs)


def tensors(count, dtype=DType.FLOAT32, shape=None):
    return problem(*[TensorType(dtype, shape)] * count)


def test_if_calls_one_branch():
    def never():
        raise AssertionError("the other branch was called")

    def values():
        return np.array(1), [np.array(2)]

    assert branch.if_(np.array([True]), then_branch=values, else_branch=never)[1] == [np.array(2)]
    assert branch.if_(np.array(False), then_branch=never, else_branch=values)[0] == 1
    with pytest.raises(ValueError, match="If: cond"):
        branch.if_(np.array([True, False]), then_branch=values, else_branch=values)


def power(iteration, condition, total, limit):
    """Doubles ``total`` while it is below ``limit``, scanning the iteration and the total."""
    assert (iteration.dtype, condition.dtype, condition.shape) == (np.int64, np.bool_, ())
    total = total * 2
    return np.array(total < limit), total, limit, iteration, np.array([total, -total])


@FEW
@given(
    st.one_of(st.none(), st.integers(0, 6), st.just(2**62)),
    st.one_of(st.none(), st.booleans()),
    st.integers(0, 40),
)
def test_loop_stops_by_count_or_condition(trips, condition, limit):
    expected, total, going = [], 1, condition is not False
    while going and (trips is None or len(expected) < trips):
        total *= 2
        expected.append(total)
        going = total < limit
    given_trips = None if trips is None else np.array([trips])
    given_condition = None if condition is None else np.array(condition)
    start = (np.array(1), np.array(limit))
    found = branch.loop(
        given_trips, given_condition, *start, body=power, problem=tensors(4, DType.INT64, (None, 2))
    )
    assert (found[0], found[1]) == (total, limit)
    assert found[2].tolist() == list(range(len(expected))) if expected else found[2].size == 0
    assert found[3].shape == (len(expected), 2)
    assert found[3][:, 0].tolist() == expected


def test_loop_without_iterations_takes_declared_types():
    known, symbolic = TensorType(DType.FLOAT16, (None, 3, "n")), TensorType(DType.STRING)
    outputs = problem(UNKNOWN, known, None, symbolic)
    found = branch.loop(np.array(0), None, np.array(7), body=power, problem=outputs)
    assert found[0] == 7
    assert (found[1].shape, found[1].dtype) == ((0, 3, 0), np.float16)
    assert found[2] is None
    assert (found[3].shape, found[3].dtype) == ((0,), object)
    with pytest.raises(ValueError, match="type of a scan output is not known"):
        branch.loop(np.array(0), None, body=power, problem=problem(UNKNOWN))


def test_loop_carries_sequences_and_refuses_growing_scans():
    def grow(iteration, condition, items):
        items = [*items, iteration]
        return condition, items, np.zeros(len(items))

    carried = branch.loop(np.array(3), None, [], body=lambda *x: grow(*x)[:2], problem=tensors(1))
    assert [int(v) for v in carried[0]] == [0, 1, 2]
    with pytest.raises(ValueError, match="changes its shape"):
        branch.loop(np.array(2), None, [], body=grow, problem=tensors(2))


def running(total, x, y):
    """Sum so far, and the sum and the difference of the elements."""
    total = total + x
    return total, total, x - y


@FEW
@given(
    hnp.arrays(np.int64, (4, 3), elements=st.integers(-9, 9)),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from([0, 1, -1]),
    st.sampled_from([0, 1, -1]),
)
def test_scan(x, flags, axis_in, axis_out):
    back_x, back_y, prepend_sum, prepend_difference = flags
    y = x * 2
    first = np.zeros(x.shape[1 - axis_in % 2], np.int64)
    xs = list(np.moveaxis(x, axis_in, 0))[:: -1 if back_x else 1]
    ys = list(np.moveaxis(y, axis_in, 0))[:: -1 if back_y else 1]
    sums = list(np.cumsum(xs, axis=0))[:: -1 if prepend_sum else 1]
    differences = [a - b for a, b in zip(xs, ys)][:: -1 if prepend_difference else 1]
    final, total, difference = scan.scan(
        first,
        x,
        y,
        body=running,
        num_scan_inputs=2,
        problem=tensors(3),
        scan_input_axes=(axis_in, axis_in),
        scan_input_directions=(int(back_x), int(back_y)),
        scan_output_axes=(axis_out, 0),
        scan_output_directions=(int(prepend_sum), int(prepend_difference)),
    )
    np.testing.assert_array_equal(final, x.sum(axis=axis_in))
    np.testing.assert_array_equal(np.moveaxis(total, axis_out, 0), sums)
    np.testing.assert_array_equal(difference, differences)


def test_scan_of_nothing_and_of_unequal_lengths():
    empty = np.zeros((0, 3))
    outputs = problem(UNKNOWN, TensorType(DType.INT64, (3, None)), TensorType(DType.BOOL, (None,)))
    arguments = {"body": running, "num_scan_inputs": 2, "problem": outputs, "scan_output_axes": (1, 0)}
    final, total, difference = scan.scan(np.ones(3), empty, empty, **arguments)
    assert final.tolist() == [1, 1, 1]
    assert (total.shape, total.dtype) == ((3, 0), np.int64)
    assert (difference.shape, difference.dtype) == ((0,), np.bool_)
    with pytest.raises(ValueError, match=r"lengths \[0, 2\]"):
        scan.scan(np.ones(3), empty, np.zeros((2, 3)), **arguments)


@FEW
@given(
    hnp.arrays(np.int64, (3, 4, 2), elements=st.integers(-9, 9)),
    st.lists(st.integers(0, 4), min_size=3, max_size=3),
)
def test_scan_8_runs_each_sample_for_its_length(x, lengths):
    final, total, _ = scan.scan_8(
        np.array(lengths),
        np.zeros((3, 2), np.int64),
        x,
        x,
        body=running,
        num_scan_inputs=2,
        problem=tensors(3, DType.INT64, (3, 4, 2)),
        directions=(1, 0),
    )
    for sample, length in enumerate(lengths):
        sums = np.cumsum(x[sample, :length][::-1], axis=0)
        np.testing.assert_array_equal(final[sample], x[sample, :length].sum(axis=0))
        if any(lengths):
            np.testing.assert_array_equal(total[sample], [*sums, *np.zeros((4 - length, 2))])


def test_sequence_map():
    def body(x, y, k):
        return x + y, x * k

    first, second, k = [np.array(1), np.array(2)], [np.array(10), np.array(20)], np.array([2, 3])
    sums, products = sequence.sequence_map(first, second, k, body=body, problem=tensors(2))
    assert [int(v) for v in sums] == [11, 22]
    assert [v.tolist() for v in products] == [[2, 3], [4, 6]]
    assert sequence.sequence_map([], [], body=body, problem=tensors(2)) == ([], [])
    with pytest.raises(ValueError, match="2 and 1 elements"):
        sequence.sequence_map(first, second[:1], body=body, problem=tensors(1))


@FEW
@given(st.integers(0, 4), st.one_of(st.none(), st.integers(-6, 6)))
def test_sequences_behave_as_lists_and_stay_as_they_are(size, position):
    items = sequence.sequence_construct(*map(np.array, range(size)))
    before = list(items)
    place = None if position is None else np.array(position)
    assert sequence.sequence_length(items) == size
    if position is None or -size <= position <= size:
        expected = list(range(size))
        expected.insert(size if position is None else position, 9)
        assert [int(v) for v in sequence.sequence_insert(items, np.array(9), place)] == expected
    else:
        with pytest.raises(ValueError, match=f"position {position}"):
            sequence.sequence_insert(items, np.array(9), place)
    if -size <= (-1 if position is None else position) < size:
        expected = list(range(size))
        expected.pop(-1 if position is None else position)
        assert [int(v) for v in sequence.sequence_erase(items, place)] == expected
        if position is not None:
            assert int(sequence.sequence_at(items, place)) == range(size)[position]
    elif position is not None:
        with pytest.raises(ValueError, match=f"position {position}"):
            sequence.sequence_at(items, place)
        with pytest.raises(ValueError, match=f"position {position}"):
            sequence.sequence_erase(items, place)
    assert items == before
    assert sequence.sequence_empty() == []


@FEW
@given(st.integers(0, 7), st.integers(1, 4), st.sampled_from([0, 1]), st.sampled_from([0, 1]))
def test_concat_from_sequence_undoes_split(length, size, axis, keepdims):
    x = np.arange(length * 3).reshape((length, 3) if axis == 0 else (3, length))
    parts = sequence.split_to_sequence(x, np.array(size), axis=axis, keepdims=keepdims)
    assert all(p.shape[axis] == size for p in parts[:-1])
    sizes = np.array([p.shape[axis] for p in parts], np.int64)
    again = sequence.split_to_sequence(x, sizes, axis=axis)
    if length == 0:
        assert parts == again == []
        with pytest.raises(ValueError, match="empty"):
            sequence.concat_from_sequence(parts, axis=axis)
        return
    np.testing.assert_array_equal(sequence.concat_from_sequence(parts, axis=axis), x)
    np.testing.assert_array_equal(sequence.concat_from_sequence(again, axis=axis), x)
    singles = sequence.split_to_sequence(x, axis=axis, keepdims=keepdims)
    assert len(singles) == length
    assert all(s.ndim == 1 + keepdims for s in singles)
    joined = sequence.concat_from_sequence(singles, axis=axis, new_axis=1 - keepdims)
    np.testing.assert_array_equal(joined, x)


def test_split_to_sequence_refuses():
    with pytest.raises(ValueError, match="must be positive"):
        sequence.split_to_sequence(np.zeros(3), np.array(0))
    with pytest.raises(ValueError, match="do not add up to 3"):
        sequence.split_to_sequence(np.zeros(3), np.array([1, 1]))


def test_optionals():
    assert sequence.optional(type=TensorType(DType.FLOAT32)) is None
    x = np.zeros(2)
    assert sequence.optional_get_element(sequence.optional(x)) is x
    assert sequence.optional_has_element(x).tolist() is True
    assert sequence.optional_has_element([]).tolist() is True
    assert sequence.optional_has_element().tolist() is False
    with pytest.raises(ValueError, match="the optional is empty"):
        sequence.optional_get_element(None)


def test_scan_8_pads_when_every_sequence_is_empty():
    empty = TensorType(DType.FLOAT32, (2, 3))
    arguments = (np.array([0, 0]), np.ones(2, np.float32), np.ones((2, 3), np.float32))
    found = scan.scan_8(
        *arguments, body=lambda s, x: (s + x, x), num_scan_inputs=1, problem=problem(UNKNOWN, empty)
    )
    np.testing.assert_array_equal(found[0], np.ones(2))
    np.testing.assert_array_equal(found[1], np.zeros((2, 3), np.float32))
