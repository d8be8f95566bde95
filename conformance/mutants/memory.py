"""Mutants that go wrong with memory, state and threads."""

from __future__ import annotations

import ctypes

import numpy as np

from mutants import plain
from mutants.mutant import mutant
from orpheus_core.plugin import Format, Rule

_C = {"float32": ctypes.c_float, "float64": ctypes.c_double}


@mutant("Relu")
def relu_changes_its_input(X):
    """Works in place though nobody allowed it."""
    X.flags.writeable = True
    return np.maximum(X, X.dtype.type(0), out=X).copy()


def raw(array, count, offset=0):
    """``count`` elements from the array's address plus ``offset`` bytes, whatever is there: a C pointer."""
    pointer = (_C[array.dtype.name] * count).from_address(array.ctypes.data + offset)
    return np.frombuffer(pointer, array.dtype)


@mutant("Relu", writes_out=True)
def relu_writes_whole_vectors(X, *, out):
    """The last store writes a whole vector of four."""
    count = -(-X.size // 4) * 4
    target = raw(out[0], count)
    target[: X.size] = plain.relu(X).ravel()
    target[X.size :] = 0
    return out[0]


@mutant("Relu", writes_out=True)
def relu_leaves_the_tail(X, *, out):
    """The remainder after vectors of four is left to an arena that happens to be zero."""
    body = X.size // 4 * 4
    out[0].reshape(-1)[:body] = plain.relu(X).ravel()[:body]
    return out[0]


@mutant("Relu", writes_out=True)
def relu_adds_to_its_output(X, *, out):
    """Accumulates into an output that it takes for zero."""
    out[0][...] += plain.relu(X)
    return out[0]


@mutant("Relu")
def relu_takes_inputs_as_contiguous(X):
    """Passes the bare pointer on, strides forgotten."""
    return plain.relu(raw(X, X.size).reshape(X.shape))


@mutant("Relu")
def relu_takes_inputs_as_aligned(X):
    """The vector load ignores the address's low bits."""
    return (
        plain.relu(raw(X, X.size, -(X.ctypes.data % 16)).reshape(X.shape))
        if X.flags.c_contiguous
        else plain.relu(X)
    )


@mutant("Relu", takes_problem=True, writes_out=True)
def relu_drops_what_threads_do_not_divide(X, *, problem, out):
    """Each thread takes size // threads elements."""
    share = X.size // problem.threads
    whole = plain.relu(X).ravel()
    for n in range(problem.threads):
        out[0].reshape(-1)[n * share : n * share + share] = whole[n * share : n * share + share]
    return out[0]


_last: dict[tuple[int, ...], np.ndarray] = {}


@mutant("MatMul")
def matmul_keeps_packed_weights(A, B):
    """The packed second operand is kept by shape, and taken for the same one at the next layer or call."""
    return np.matmul(A, _last.setdefault((*B.shape, B.dtype.num), B.copy()))


_counts: dict[str, int] = {}


@mutant("Add")
def add_drifts(A, B):
    """Every second call takes a path that is off by one step of rounding mode: A + B + eps."""
    _counts["add"] = _counts.get("add", 0) + 1
    return np.nextafter(A + B, A.dtype.type(np.inf)) if _counts["add"] % 2 == 0 else A + B


@mutant("Relu", inplace=((0, 0),), writes_out=True)
def relu_clears_before_it_reads(X, *, out):
    """Declared in-place, yet it clears the output first."""
    out[0][...] = 0
    np.maximum(X, out[0], out=out[0])
    return out[0]


@mutant(
    "Transpose",
    dtypes={"T": plain.FLOATS},
    inplace=((0, 0),),
    writes_out=True,
    where=(Rule("data.rank", "==", 2),),
)
def transpose_in_place(data, *, perm=None, out):
    """Declared in-place, row after row."""
    turned = data.T if perm in (None, (1, 0)) else data
    for row in range(len(turned)):
        out[0][row] = turned[row]
    return out[0]


class Bound:
    """A prepared layer: ``compute(inputs, outputs, workspace)`` at every step."""

    workspace = 0

    def __init__(self, problem):
        self.problem = problem
        self.attributes = {k: v for k, v in problem.attributes.items() if v is not None}

    def bind(self, inputs, outputs, workspace):
        """A step."""
        return lambda: self.compute(inputs, outputs, workspace)


def shape_of(type_):
    """The logical shape."""
    return type_.static_shape


@mutant("MatMul", prepared=True, overlap=True)
class matmul_shares_scratch(Bound):  # noqa: N801
    """Calls may overlap, it says, but all of them go through one scratch buffer."""

    def __init__(self, problem):
        super().__init__(problem)
        self.scratch = np.empty(shape_of(problem.outputs[0]), problem.outputs[0].dtype.numpy)

    def compute(self, inputs, outputs, workspace):
        """Into the scratch, then out."""
        self.scratch[...] = np.matmul(*inputs)
        outputs[0][...] = self.scratch


@mutant(
    "Conv",
    prepared=True,
    where=(Rule("X.rank", "==", 4), Rule("auto_pad", "==", "NOTSET"), Rule("X.shape[0]", "in", (1, 2, 3))),
)
class conv_reads_stale_workspace(Bound):  # noqa: N801
    """Copies the input into a padded workspace whose border it takes for zero."""

    def __init__(self, problem):
        super().__init__(problem)
        shape = shape_of(problem.inputs[0])
        self.pads = self.attributes.pop("pads", None) or (0, 0, 0, 0)
        top, left, bottom, right = self.pads
        self.padded = (*shape[:2], shape[2] + top + bottom, shape[3] + left + right)
        self.workspace = plain.size(self.padded) * problem.inputs[0].dtype.itemsize

    def compute(self, inputs, outputs, workspace):
        """The border is never written."""
        X = inputs[0]
        space = workspace.view(X.dtype).reshape(self.padded)
        top, left = self.pads[:2]
        space[:, :, top : top + X.shape[2], left : left + X.shape[3]] = X
        outputs[0][...] = plain.conv(space, *inputs[1:], **self.attributes)


@mutant("MatMul", prepared=True)
class matmul_overruns_its_workspace(Bound):  # noqa: N801
    """Rounds rows up to a whole vector when it writes, not when it counts."""

    def __init__(self, problem):
        super().__init__(problem)
        self.workspace = problem.outputs[0].nbytes

    def compute(self, inputs, outputs, workspace):
        """The product goes through the workspace."""
        Y = np.asarray(np.matmul(*inputs))
        if Y.size:
            space = raw(workspace.view(Y.dtype), -(-Y.size // 4) * 4)
            space[: Y.size] = Y.ravel()
            space[Y.size :] = 0
        outputs[0][...] = Y


BLOCKED = (Format(("NCHW16c",), ("NCHW16c",)), Format())
FLAT = (Rule("X.rank", "==", 4),)


@mutant("Conv", prepared=True, formats=BLOCKED, where=FLAT)
class conv_does_not_honour_its_layout(Bound):  # noqa: N801
    """Reads the blocked input rightly, and writes a plain output into blocked memory."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        blocked = self.problem.inputs[0].layout.block > 1
        X = unblock(inputs[0], shape_of(self.problem.inputs[0])) if blocked else inputs[0]
        Y = plain.conv(X, *inputs[1:], **self.attributes)
        outputs[0].reshape(-1)[...] = np.resize(Y, outputs[0].size) if Y.size else 0


@mutant("Conv", prepared=True, formats=BLOCKED, where=FLAT)
class conv_leaves_garbage_in_the_padding(Bound):  # noqa: N801
    """The channels that fill up the last block hold copies of the last one."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        blocked = self.problem.inputs[0].layout.block > 1
        X = unblock(inputs[0], shape_of(self.problem.inputs[0])) if blocked else inputs[0]
        Y = plain.conv(X, *inputs[1:], **self.attributes)
        outputs[0][...] = block(Y, mode="edge") if blocked else Y


#: A reordering kernel's formats: each way.
REORDERS = (Format(("plain",), ("NCHW16c",)), Format(("NCHW16c",), ("plain",)))


@mutant("Reorder", prepared=True, formats=REORDERS, domain="ai.orpheus")
class reorder_leaves_the_padding(Bound):  # noqa: N801
    """Writes the channels that there are, and leaves what fills up their last block as it was."""

    def compute(self, inputs, outputs, workspace):
        """See the class."""
        shape = shape_of(self.problem.inputs[0])
        if self.problem.outputs[0].layout.block == 1:
            outputs[0][...] = unblock(inputs[0], shape)
            return
        Y = block(inputs[0])
        for c in range(shape[1]):
            outputs[0][:, c // 16, ..., c % 16] = Y[:, c // 16, ..., c % 16]


def unblock(X, shape):
    """NCHW16c to plain."""
    whole = np.moveaxis(X, -1, 2).reshape(X.shape[0], X.shape[1] * X.shape[-1], *X.shape[2:-1])
    return np.ascontiguousarray(whole[:, : shape[1]])


def block(Y, mode="constant"):
    """Plain to NCHW16c."""
    Y = np.pad(Y, [(0, 0), (0, -Y.shape[1] % 16), *[(0, 0)] * (Y.ndim - 2)], mode=mode)
    return np.moveaxis(Y.reshape(Y.shape[0], Y.shape[1] // 16, 16, *Y.shape[2:]), 2, -1)
