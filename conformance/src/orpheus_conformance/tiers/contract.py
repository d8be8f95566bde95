"""Contract: what the manifest says is so. References resolve, the import is cheap, the probe is honest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from orpheus_conformance.delegation import owner_of
from orpheus_conformance.subject import Subject
from orpheus_conformance.tiers.base import Survey
from orpheus_core.discovery.registry import GROUP
from orpheus_core.ops import OpSpec, find_spec, latest_version
from orpheus_core.plugin import EVERY, Backend, Ready, Unavailable, resolve
from orpheus_core.types import CPU, DType, Layout

if sys.version_info >= (3, 12):
    from importlib.metadata import entry_points
else:
    from importlib_metadata import entry_points

#: What a manifest may not import: listing backends costs every command that much.
HEAVY = ("torch", "cupy", "pyopencl", "scipy", "onnxruntime", "numba")
_FACTS = ("rank", "size", "nbytes", "shape", "dtype", "present", "constant", "runtime")


def _backend(backend: Backend) -> Sequence[str]:
    wrong = [
        w
        for ref in (backend.runtime, backend.seal, backend.chain, backend.set_threads)
        for w in _resolves(ref)
    ]
    if backend.device != CPU and backend.runtime is None:
        wrong.append(f"computes on {backend.device} but names no runtime=")
    if backend.probe is not None:
        wrong += _resolves(backend.probe)
        if not wrong:
            try:
                answer = resolve(backend.probe)()
            except Exception as error:
                wrong.append(
                    f"the probe raised {type(error).__name__}: {error}; return Unavailable(reason, fix)"
                )
            else:
                if not isinstance(answer, (Ready, Unavailable)):
                    wrong.append(f"the probe returned {answer!r}, not Ready or Unavailable")
                elif isinstance(answer, Unavailable) and not answer.reason.strip():
                    wrong.append("the probe says Unavailable without a reason")
    ids = [(k.domain, k.op, k.name, k.opset) for k in backend.kernels]
    wrong += [
        f"two kernels are {op}/{name}" for n, (_, op, name, _) in enumerate(ids) if ids.index(ids[n]) != n
    ]
    return wrong


def _resolves(reference: str | None) -> list[str]:
    if reference is None:
        return []
    try:
        found = resolve(reference)
    except Exception as error:
        return [f"{reference!r} does not resolve: {type(error).__name__}: {error}"]
    return [] if callable(found) else [f"{reference!r} is a {type(found).__name__}, not callable"]


def _kernel(subject: Subject) -> Sequence[str]:
    kernel = subject.kernel
    wrong = [w for ref in (kernel.run, kernel.prepare, kernel.supports, kernel.cost) for w in _resolves(ref)]
    if not wrong:
        code = kernel.run or kernel.prepare or ""
        homes = (code.partition(":")[0], str(getattr(resolve(code), "__module__", "")))
        owners = [owner_of(module, subject.backend.name) for module in homes]
        wrong += [f"{code!r} is code of {owner}, not the backend's own" for owner in owners if owner][:1]
    spec = _newest(subject)
    if spec is None:
        return [*wrong, f"there is no operator {kernel.op_id} in opset {kernel.opset}"]
    for name, types in kernel.dtypes.items():
        if name not in spec.type_constraints:
            wrong.append(
                f"dtypes: {kernel.op} has no type constraint {name!r}; it has {', '.join(spec.type_constraints)}"
            )
            continue
        allowed = {d.value for d in spec.type_constraints[name]}
        names = {d.value for d in DType}
        wrong += [f"dtypes: {t!r} is no element type" for t in types if t not in names]
        wrong += [f"dtypes: {kernel.op} does not allow {t} for {name}" for t in types if t in names - allowed]
    for rule in kernel.where:
        wrong += _field(rule.field, spec)
    for layout in {n for f in kernel.formats for n in (*f.inputs, *f.outputs)} - {"plain"}:
        if Layout(layout).permutation is None and Layout(layout).block == 1:
            wrong.append(f"formats: {layout!r} is no layout")
    for output, source in kernel.inplace:
        if output >= max(1, spec.schema.max_output) or source >= max(1, spec.schema.max_input):
            wrong.append(f"inplace: {kernel.op} has no pair (output {output}, input {source})")
    return wrong


def _newest(subject: Subject) -> OpSpec | None:
    low, high = subject.kernel.opset
    newest = latest_version(subject.kernel.domain)
    spec = find_spec(subject.kernel.domain, subject.kernel.op, newest if high is None else min(high, newest))
    return spec if spec is not None and spec.version >= low else None


def _field(field: str, spec: OpSpec) -> list[str]:
    name, _, fact = field.partition(".")
    if field in EVERY:
        return []
    if not fact:
        return (
            [] if name in spec.schema.attributes else [f"rule on {name!r}: {spec.name} has no such attribute"]
        )
    if name.partition("[")[0] not in (*spec.input_names, *spec.output_names):
        return [f"rule on {field!r}: {spec.name} has no operand {name!r}"]
    known = fact in _FACTS or (fact.startswith("shape[") and fact.endswith("]"))
    return [] if known else [f"rule on {field!r}: there is no fact {fact!r}"]


def manifest_of(name: str) -> str | None:
    """The module that an installed backend of that name is offered by."""
    modules = {ep.module for ep in entry_points(group=GROUP) if ep.name == name}
    return modules.pop() if len(modules) == 1 else None


def import_faults(backend: Backend, module: str) -> list[str]:
    """What is wrong with importing a manifest, in a fresh process: an error, or a module that only kernels need."""
    named = {ref.partition(":")[0] for k in backend.kernels for ref in (k.run, k.prepare, k.supports) if ref}
    heavy = sorted({*HEAVY, *named} - {module})
    code = (
        f"import sys, orpheus_core.plugin; before = set(sys.modules); import {module}; "
        f"print(*(m for m in {heavy!r} if m in sys.modules and m not in before))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [f"importing {module} takes more than 60 s"]
    if done.returncode:
        return [f"importing {module} fails: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"]
    found = ", ".join(done.stdout.split())
    return (
        [f"importing the manifest {module} imports {found}; name code by reference instead"] if found else []
    )


CONTRACT = Survey("contract", "the manifest is what it says", _backend, _kernel)
