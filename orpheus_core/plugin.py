"""What a plugin's manifest says: Backend, Kernel, Rule, and the hooks it may implement.

This is the only module of the core that a manifest imports. Everything here is frozen data;
code is named by reference (``"package.module:attribute"``) and resolved when it is first needed,
so that listing backends never imports a kernel.

What the references mean:

``Kernel.run``
    The short form: a function ``run(*inputs, **attributes) -> array or tuple of arrays``. Inputs are
    in the order of the ONNX operator page (None for one that is omitted inside the list); attributes
    have their defaults filled in, and those without a default that the model leaves out are not
    passed. With ``takes_problem`` it also gets ``problem=``; with ``writes_out`` it also gets
    ``out=``: a tuple with, for each output, the array to fill or None (then allocate), and it returns
    the arrays it filled. A graph attribute (``If.then_branch``) arrives as a callable that takes the
    subgraph's inputs and returns a tuple of its outputs. Inputs must not be changed.
``Kernel.prepare``
    The full form: called once per layer as ``prepare(problem)``; returns an object with
    ``bind(inputs, outputs, workspace) -> step`` where inputs and outputs are arrays that stay in
    place (None where omitted) and ``step()`` computes one inference. Optional attributes of that object:
    ``workspace`` (bytes needed at bind, default 0) and ``packed`` (indices of constant inputs whose
    original is no longer needed because the object holds its own packed copy; bind gets None there; a
    copy made by ``orpheus_core.memory.empty`` lies on large pages).
``Kernel.supports``
    ``supports(problem) -> None or the reason`` for limits that rules cannot express. It, rules and costs must not
    hang on the values of weights (constants of more than 8 floats): layers that differ in nothing else are judged once.
``Kernel.cost``
    ``cost(problem) -> seconds``, a model of the time of one call.
``Backend.probe``
    ``probe() -> Ready or Unavailable``: is the device usable here?
``Backend.complete``
    ``complete(backend) -> Backend``: called once, when the probe has answered Ready: the same backend with the kernels,
    and the version, that only its library can tell. So a manifest need not load a library to be read.
``Backend.runtime``
    A class: how to allocate, upload and download on the device (see :class:`Runtime`).
``Backend.configure``
    ``configure(backend, options) -> Backend``: the backend as the provider options ask for it, which device above
    all: ``providers=[("name", {"device": 1})]``. Raises UsageError for an option or a device that there is not.
``Backend.seal``
    ``seal(steps) -> step``: turn neighbouring steps of this backend into one call: a loop, a recorded list of
    commands, a graph. Steps of one segment were bound to arrays of one stream (see :class:`Runtime`), and a sealed
    segment is replayed for as long as its arrays stay where they are, which is the life of a context.
``Backend.chain``
    ``chain(layers) -> runs``: choose runs of layers to compute together (:class:`Joined`), a band of rows at a time
    for example. ``layers`` are what ``prepare`` returned for neighbouring operations, each of which reads as its first
    input what the one before writes, and nothing else reads that. While a run is computed, everything that its layers
    read and write lies apart in memory, and the results between them may be used as scratch. Steps that were not
    joined stay usable: a profile runs them one by one. Needs ``seal``, which gets the joined steps.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol, TypeAlias, TypeVar

import pluggy

from orpheus_core.types import CPU, Array, Device, TensorType, ValueType

__all__ = [
    "API",
    "EVERY",
    "PROJECT",
    "STANDARD",
    "Accuracy",
    "Backend",
    "Command",
    "Engine",
    "Format",
    "Hooks",
    "Joined",
    "Kernel",
    "Meter",
    "PassSpec",
    "Prepared",
    "Problem",
    "Ready",
    "Rule",
    "Runtime",
    "RuntimeSpec",
    "Step",
    "Unavailable",
    "hookimpl",
    "hookspec",
    "resolve",
]  # fmt: skip

PROJECT = "orpheus"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

#: The plugin interface's version; the core accepts API and API - 1.
API = 1

#: Fields of rules that speak of every operand.
EVERY = ("*.size", "*.rank")
#: One bound kernel call: no arguments, no result, one inference's worth of work.
Step: TypeAlias = Callable[[], object]
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """What a kernel promises about rounding.

    ``factor`` multiplies the bound that the conformance suite derives for the operator (1 for plain
    accumulation; Winograd F(4,3) declares 4). ``exact_integers``: small-integer inputs give
    bit-exact results. ``normwise``: errors are relative to the largest elements of the operands, as those of Strassen's
    algorithm, which adds what belongs to other results and takes it away again. ``special``: NaN, infinities and
    denormals give what they give in IEEE arithmetic; a library whose code was generated for speed may lose a NaN.
    """

    factor: float = 1.0
    exact_integers: bool = True
    normwise: bool = False
    special: bool = True

    @property
    def price(self) -> float:
        """What a kernel's time is multiplied by where it is compared, since in a network errors add up.

        It is 1 up to a factor of 4, and for factors on the norm, which single results stay far below. A ``cost``
        function includes it; to a measured time it is added.
        """
        # The 25 was chosen by a network: with F(5,3), of factor 8, wherever it is a tenth faster, Inception-v3's error
        # nears 5e-5 of its range; with it where it saves a sixth and more, half of that.
        return 1.0 if self.normwise else 1.0 + max(self.factor - 4.0, 0.0) / 25.0


STANDARD = Accuracy()


@dataclass(frozen=True)
class Rule:
    """One limit of a kernel as data: ``Rule("group", "==", 1)``.

    ``field`` is an attribute's name or a fact about an operand, named as the operator's page
    names it: ``X.rank``, ``X.shape[1]``, ``W.constant``, ``B.present``, ``axes.runtime`` (given, and not constant),
    ``X.size``; ``*.size`` and ``*.rank``: the least of all tensors that are given. ``op`` is one of
    ``== != < <= > >= in "not in" each``; ``each`` holds when every element of a list-valued
    field is in ``value``, so also where the list is left out.
    """

    field: str
    op: str
    value: Any

    def __post_init__(self) -> None:
        if self.op not in _RULE_OPS:
            raise ValueError(f"Rule({self.field!r}): operator {self.op!r} is not one of {sorted(_RULE_OPS)}")

    def refusal(self, problem: Problem) -> str | None:
        """None when the problem satisfies the rule, else why not: "needs group == 1, has 4"."""
        actual = problem.field(self.field)
        try:
            holds = bool(_RULE_OPS[self.op](actual, self.value))
        except TypeError:
            holds = False
        if holds:
            return None
        shown = "unknown" if actual is None else repr(actual)
        op = "each in" if self.op == "each" else self.op
        return f"needs {self.field} {op} {self.value!r}, has {shown}"


_RULE_OPS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
    "each": lambda a, b: a is None or all(x in b for x in a),
}


@dataclass(frozen=True)
class Format:
    """One combination of memory layouts a kernel accepts, by name (see :class:`types.Layout`).

    ``inputs[i]`` is the layout of input i; inputs and outputs beyond the tuples' ends are plain. A format that names
    the tensors of a list, as Concat's inputs are, fits no node with more of them than it names.
    """

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def input(self, index: int) -> str:
        """Layout name of input ``index``."""
        return self.inputs[index] if index < len(self.inputs) else "plain"

    def output(self, index: int) -> str:
        """Layout name of output ``index``."""
        return self.outputs[index] if index < len(self.outputs) else "plain"

    @property
    def is_plain(self) -> bool:
        """Whether every operand is in ONNX's own layout."""
        return all(name == "plain" for name in (*self.inputs, *self.outputs))


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One implementation of one operator. Exactly one of ``run`` and ``prepare`` is given.

    ``dtypes`` maps a type-constraint name of the operator's schema ("T") to the element types that
    the kernel takes; a constraint left out takes all that the schema allows. ``opset`` is the range of
    schema versions (``since_version``) it implements. ``inplace`` lists (output, input) pairs that may
    share memory. ``overlap`` says calls of the same prepared object may run at the same time.
    ``expands`` says its packed constants take more memory than the constants, so that ``memory="low"``
    leaves it out. ``whole``, of a kernel of a fused operator, says that by its backend's own costs the parts
    never take less: they are weighed against it only where times were measured or another backend may
    compete. ``rank`` orders kernels of which no time is known: lower first. Raise ``version`` whenever the
    speed may have changed, so that kept measurements are taken anew.

    ``supports`` and ``cost`` depend on nothing but the problem and the ``ORPHEUS_`` variables of the
    environment: what they say of a layer is remembered by the process.
    """

    op: str
    name: str
    run: str | None = None
    prepare: str | None = None
    domain: str = ""
    opset: tuple[int, int | None] = (1, None)
    dtypes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    formats: tuple[Format, ...] = (Format(),)
    where: tuple[Rule, ...] = ()
    supports: str | None = None
    cost: str | None = None
    rank: int = 100
    accuracy: Accuracy = STANDARD
    inplace: tuple[tuple[int, int], ...] = ()
    overlap: bool = False
    expands: bool = False
    whole: bool = False
    takes_problem: bool = False
    writes_out: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        if (self.run is None) == (self.prepare is None):
            raise ValueError(f"Kernel {self.op}/{self.name}: give exactly one of run= and prepare=")
        if not self.formats:
            raise ValueError(f"Kernel {self.op}/{self.name}: formats must not be empty")

    @property
    def op_id(self) -> str:
        """``Conv``, or ``domain:Op`` outside the default domain."""
        return f"{self.domain}:{self.op}" if self.domain else self.op


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A whole backend: what it is called, what it can compute, and how to reach its device.

    ``name`` is also the name of the entry point. ``rank`` orders backends when nothing is measured and the
    user names none: lower is preferred (a reference that only has to be right sets 1000). One that ranks above 1000
    runs where it is named, and is not looked into otherwise. ``set_threads`` names a function ``set_threads(n)`` for
    a library whose thread count is a setting of the whole process (a BLAS). ``peak`` names a function
    ``peak(threads) -> FLOP/s`` that measures what the device computes at best in float32, a multiply-add counted as
    two, for shares of peak in reports. ``concurrent`` says that what ``seal`` makes may run operations at the same
    time that do not wait for each other: those are sorted by level, and what one level uses lies apart where
    nothing is computed in place. ``seal`` has to find by the memory of its steps which of them wait for each other.
    """

    name: str
    api: int
    kernels: tuple[Kernel, ...]
    device: Device = CPU
    probe: str | None = None
    complete: str | None = None
    runtime: str | None = None
    configure: str | None = None
    seal: str | None = None
    chain: str | None = None
    concurrent: bool = False
    version: str = ""
    rank: int = 100
    set_threads: str | None = None
    peak: str | None = None


@dataclass(frozen=True)
class Joined:
    """Layers ``[first, last)`` of those that ``Backend.chain`` was given, to be computed together.

    ``join(steps) -> step`` makes one step of the run's bound steps; ``note`` says in words what is done.
    """

    first: int
    last: int
    join: Callable[[Sequence[Step]], Step]
    note: str


@dataclass(frozen=True)
class Ready:
    """The device is usable; ``detail`` says what was found ("AVX-512, 2 threads").

    ``devices`` has a line for each device to choose from, in the order of their indices.
    """

    detail: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unavailable:
    """The device is not usable here: why, and what would fix it."""

    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Problem:
    """One layer as a kernel sees it: operator, attributes, operand types, constant inputs.

    ``inputs`` and ``outputs`` are types in the operator's order, None where omitted; layouts and devices are
    those of the candidate. ``constants`` holds the arrays of constant inputs by index. ``names`` gives the
    formal names of the inputs and outputs as the operator page has them. ``threads`` is the session's setting.
    ``network_bytes``: the constants of the whole network, 0 where they are not known; the more, the farther away a
    layer's weights are when it is called again.
    """

    op: str
    domain: str
    version: int
    attributes: Mapping[str, Any]
    inputs: tuple[ValueType | None, ...]
    outputs: tuple[ValueType | None, ...]
    constants: Mapping[int, Array] = field(default_factory=dict)
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    threads: int = 1
    network_bytes: int = 0

    def once(self, function: Callable[[Problem], _T]) -> _T:
        """``function(self)``, worked out once: rules, costs and preparation ask for the same facts many times over."""
        known = self._known
        if function not in known:
            known[function] = function(self)
        found: _T = known[function]
        return found

    @cached_property
    def _known(self) -> dict[Any, Any]:
        return {}

    @cached_property
    def _operands(self) -> dict[str, tuple[ValueType | None, int | None]]:
        table: dict[str, tuple[ValueType | None, int | None]] = {}
        for index, name in enumerate(self.input_names):
            table[name] = (self.inputs[index] if index < len(self.inputs) else None, index)
        for index, name in enumerate(self.output_names):
            table.setdefault(name, (self.outputs[index] if index < len(self.outputs) else None, None))
        return table

    def field(self, path: str) -> Any:
        """The value that a rule's field names, or None when it is unknown or absent."""
        known = self._known
        if path not in known:  # the kernels of an operator have the same fields in their rules
            known[path] = self._look_up(path)
        return known[path]

    def _look_up(self, path: str) -> Any:
        name, _, fact = path.partition(".")
        if not fact:
            return self.attributes.get(name)
        if path in EVERY:
            facts = [getattr(t, fact) for t in (*self.inputs, *self.outputs) if isinstance(t, TensorType)]
            return None if None in facts else min(facts, default=None)
        if name not in self._operands:
            raise ValueError(f"{self.op} has no operand {name!r}; it has {', '.join(self._operands)}")
        type_, index = self._operands[name]
        if fact == "present":
            return type_ is not None
        if fact == "constant":
            return index is not None and index in self.constants
        if fact == "runtime":
            return type_ is not None and index not in self.constants
        if not isinstance(type_, TensorType):
            return None
        if fact.startswith("shape[") and fact.endswith("]"):
            axis = int(fact[6:-1])
            shape = type_.shape
            return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
        if fact in ("rank", "size", "nbytes", "shape"):
            return getattr(type_, fact)
        if fact == "dtype":
            return type_.dtype.value
        raise ValueError(f"unknown fact {fact!r} in rule field {path!r}")


class Prepared(Protocol):
    """What ``Kernel.prepare`` returns. What it packs may be packed beside the making of the plan: :mod:`beside`."""

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A step that reads ``inputs`` and fills ``outputs``, which stay where they are."""


class Runtime(Protocol):
    """A device's memory, and the order of the work on it. Arrays are the device library's own.

    There is one instance for each device. A runtime may also have:

    ``alignment``
        Bytes: where in an arena an array may begin. 64 when absent; a smaller one counts as 64.
    ``identity``
        Text: which device this is, and its driver. Measured times are kept under it.
    ``host(nbytes)``
        A numpy array of bytes on the host, from and to which transfers are fast (pinned, or mapped).
    ``stream()``
        A runtime of the same device for one context. Transfers through it, and steps that were bound to its arrays,
        run in the order in which they were begun; those of another stream may overlap. Its ``synchronize`` waits for
        its own work only. Arrays of the device's own runtime, once it is synchronized, may be read in any stream.
    ``seconds(step)``
        Does the step, waits for it, and gives the seconds that the device itself worked on it. By these kernels are
        chosen and shown.
    ``dlpack``
        The kind and the index of the device as DLPack counts them: then tensors of other libraries that lie there are
        read and written without the host, and results may stay there. Arrays take ``array[...] = another`` of the same
        shape and type. With it go:
    ``dlpack_stream``
        The number of its stream that other libraries' ``__dlpack__(stream=...)`` takes; None where the kind has none.
    ``foreign(pointer, nbytes, owner)``
        Another library's memory as an arena, which keeps ``owner``.
    ``shared(nbytes)``
        An arena for results that other libraries read: once freed, it is not used again before they have read it.
    ``address(arena)``
        The pointer that DLPack tells of an arena: where it begins.

    MemoryError says that the device has no more memory, :class:`errors.DeviceError` that it was lost.
    """

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """A new device array."""

    def arena(self, nbytes: int) -> Any:
        """A new block of device memory, aligned for any kernel of the backend."""

    def view(self, arena: Any, offset: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array inside ``arena`` that starts ``offset`` bytes in."""

    def upload(self, source: Array, target: Any) -> None:
        """Copy a host array, which may change once this returns, into a device array of the same shape and dtype."""

    def download(self, source: Any, target: Array) -> None:
        """Copy a device array into a host array; returns when the host may read it."""

    def synchronize(self) -> None:
        """Return when everything that was started on the device has ended."""


@dataclass(frozen=True, kw_only=True)
class PassSpec:
    """A graph rewrite that a plugin adds: runs after the core's pass ``after`` (or last).

    ``backend``: the one without which a session does not run it, for what only its kernels are faster with.
    """

    name: str
    run: str
    after: str | None = None
    backend: str | None = None


@dataclass(frozen=True, kw_only=True)
class RuntimeSpec:
    """A whole engine to compare with (``peer:onnxruntime``).

    ``load`` is ``load(path, threads) -> Engine``, in float32 on exactly so many threads. ``path`` is the ONNX file, or
    what ``convert(path, folder) -> path`` wrote into ``folder`` for an engine with a format of its own. ``modules`` are
    what both import: whether they can be found says whether the engine is installed, and they are imported before a
    load is timed. ``distribution`` names the package whose version is the engine's, ``install`` tells how to get it.
    ``isa`` gives, by instruction set, the environment variables that confine the engine to it; what is not listed
    cannot be forced.
    """

    name: str
    load: str
    convert: str | None = None
    modules: tuple[str, ...] = ()
    distribution: str = ""
    install: str = ""
    isa: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Engine(Protocol):
    """What ``RuntimeSpec.load`` returns. ``settings`` is what it says that it got: threads, precision, device."""

    settings: Mapping[str, Any]

    def bind(self, inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        """One inference as a call, on inputs in the model's order; it gives the outputs in the model's order.

        The inputs are brought into the engine's own layout here, once.
        """


@dataclass(frozen=True, kw_only=True)
class Meter:
    """A source of energy or memory readings; ``open`` gives a context manager that measures."""

    name: str
    unit: str
    open: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """A CLI verb: ``configure(parser)`` adds arguments, ``run(args) -> exit code`` does the work."""

    name: str
    help: str
    configure: str
    run: str


class Hooks:
    """Everything a plugin object (usually the manifest module) may implement. All are optional."""

    @hookspec(firstresult=True)
    def orpheus_backend(self) -> Backend:  # type: ignore[empty-body]
        """The backend and its kernels."""

    @hookspec(firstresult=True)
    def orpheus_passes(self) -> Sequence[PassSpec]:  # type: ignore[empty-body]
        """Graph rewrites to add to the pipeline."""

    @hookspec(firstresult=True)
    def orpheus_runtimes(self) -> Sequence[RuntimeSpec]:  # type: ignore[empty-body]
        """Whole engines to compare with."""

    @hookspec(firstresult=True)
    def orpheus_meters(self) -> Sequence[Meter]:  # type: ignore[empty-body]
        """Energy and memory meters."""

    @hookspec(firstresult=True)
    def orpheus_commands(self) -> Sequence[Command]:  # type: ignore[empty-body]
        """Verbs for the ``orpheus`` command."""


def resolve(reference: str) -> Any:
    """The object that ``"package.module:attribute"`` names; ImportError or AttributeError when absent."""
    module, parts = _split(reference)
    # A module that is there needs no import, but for one that another thread is still importing.
    found: Any = sys.modules.get(module)
    spec = getattr(found, "__spec__", None)
    if spec is None or getattr(spec, "_initializing", False):
        found = importlib.import_module(module)
    for part in parts:
        found = getattr(found, part)
    return found


@lru_cache(maxsize=4096)
def _split(reference: str) -> tuple[str, tuple[str, ...]]:
    module, _, attribute = reference.partition(":")
    if not attribute:
        raise ImportError(f"reference {reference!r} must look like 'package.module:attribute'")
    return module, tuple(attribute.split("."))
