"""TVM's Relax compiler for the CPU: fused, convolutions in NHWC, scheduled by a tuner's log or by one rule.

Without a schedule TVM's LLVM backend writes plain loops, thirty times slower than the others, and the package has no
schedules for convolutions any more: its users tune, for hours. So each fused function gets

- the best record of ``ORPHEUS_TVM_LOG``, the work directory of TVM's tuner MetaSchedule, where it has one, and else
- the schedule of ``tvm_schedule``, which is the same for all layers and takes no measurement.

``python -m orpheus_experiments.peers.tvm MODEL --log DIR --trials 2000`` tunes into such a directory.
``ORPHEUS_TVM_CPU`` names the processor to compile for as LLVM does; this machine's by default.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.errors import BackendError, OrpheusError
from orpheus_core.types import Array
from orpheus_experiments.peers import tvm_log
from orpheus_experiments.peers.engine import LoadedEngine

__all__ = ["convert", "load", "tune"]

CPU = "ORPHEUS_TVM_CPU"
_NAME = "orpheus_experiments.peers.tvm"
_BIG_CORES = 1  # of TVM's runtime: the fastest cores first
_ALIGNMENT = 64  # which its tensors need
_FAILED = 1e9  # seconds; what does not run is recorded as taking more
_PATIENCE = 300.0  # seconds for a build or a run, in which its processes import TVM, too
_TUNER = ("tvm", "xgboost", "psutil", "cloudpickle")


def convert(path: Path, folder: Path) -> Path:
    """``model.so`` in ``folder``, and beside it what is known of its making, as JSON.

    Raises BackendError for an operator that TVM does not import, without a C compiler, which links it, and for a log
    that is not there or broken. How many functions a log had is told: what is compiled may well be another model than
    the tuned one, such as the tiny one that a benchmark loads first.
    """
    import tvm
    from tvm import relax
    from tvm.s_tir import meta_schedule

    from orpheus_experiments.peers.tvm_graph import fused
    from orpheus_experiments.peers.tvm_schedule import Rule

    if tvm.support.cc.get_cc() is None:
        raise BackendError(
            "TVM links what it compiles by a C compiler, and there is none; install gcc or clang"
        )
    target, told = _target()
    module = fused(path, target)
    rule = Rule(told.pop("lanes"), told.pop("registers"))
    database = meta_schedule.database.ScheduleFnDatabase(rule)
    log = tvm_log.given()
    if log is not None:
        database = meta_schedule.database.OrderedUnionDatabase(tvm_log.records(log), database)
    with target, database:
        scheduled = relax.transform.MetaScheduleApplyDatabase()(module)
    count = sum(isinstance(f, tvm.tirx.PrimFunc) for f in module.functions.values())
    tuned = count - rule.scheduled - rule.plain
    shares = [(rule.scheduled, "by rule"), (rule.plain, "plain")]
    shares = [(tuned, f"by the log {log}")] * (log is not None) + [share for share in shares if share[0]]
    told["schedule"] = " + ".join(f"{n} of {count} functions {how}" for n, how in shares)
    library = folder / "model.so"
    tvm.compile(scheduled, target=target).export_library(str(library))
    library.with_suffix(".json").write_text(json.dumps(told))
    return library


def load(path: Path, threads: int) -> LoadedEngine:
    """The library in TVM's virtual machine, on exactly ``threads`` threads, which the system places."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    os.environ["TVM_BIND_THREADS"] = "0"  # it would bind them to processors that this process may not use
    import tvm
    from tvm import relax

    tvm.get_global_func("runtime.config_threadpool")(_BIG_CORES, threads)
    got = int(tvm.get_global_func("runtime.NumThreads")())
    if got != threads:
        raise BackendError(
            f"TVM runs {got} threads although {threads} were asked for: the number that this thread first loaded with"
            " is its most; load in another thread or process"
        )
    machine = relax.VirtualMachine(tvm.runtime.load_module(str(path)), tvm.cpu())
    function = machine["main"]

    def bind(inputs: Sequence[Array]) -> Callable[[], Sequence[Array]]:
        placed = [tvm.runtime.from_dlpack(_aligned(array)) for array in inputs]

        def run() -> Sequence[Array]:
            found = function(*placed)
            outputs = (found,) if isinstance(found, tvm.runtime.Tensor) else tuple(found)
            return [np.from_dlpack(output) for output in outputs]

        return run

    made = json.loads(path.with_suffix(".json").read_text())
    settings = {
        "threads": got,
        "precision": "float32 (as in the file)",
        "device": f"CPU, {made.pop('cpu')}",
        **made,
    }
    return LoadedEngine(settings, bind)


def tune(path: Path, log: Path, trials: int) -> None:
    """Tune the functions of the model in ``path`` by measuring ``trials`` schedules; records go into ``log``.

    A log that is there grows. Raises BackendError without the packages of the extra ``tvm-tune``, for an operator that
    TVM does not import, for a broken log, and where nothing that was tried has run.
    """
    missing = [name for name in _TUNER if find_spec(name) is None]
    if missing:
        raise BackendError(
            f"TVM's tuner needs {', '.join(missing)}; try: pip install 'orpheus-experiments[tvm-tune]'"
        )
    from tvm.s_tir import meta_schedule

    from orpheus_experiments.peers.tvm_graph import fused

    target, _ = _target(cores=os.cpu_count() or 1)
    log.mkdir(parents=True, exist_ok=True)
    tvm_log.checked(log)
    made = meta_schedule.relax_integration.tune_relax(
        fused(path, target),
        {},
        target,
        str(log),
        trials,
        builder=meta_schedule.builder.LocalBuilder(timeout_sec=_PATIENCE, f_build=_build),
        runner=meta_schedule.runner.LocalRunner(timeout_sec=_PATIENCE),
    )
    times = [second for record in made.get_all_tuning_records() for second in record.run_secs or ()]
    if not any(float(second) < _FAILED for second in times):
        raise BackendError(
            f"TVM built and ran none of its schedules in time, so {log} has no record; {log / 'logs'} says why"
        )


def _build(module: Any, target: Any, _parameters: Any) -> Any:
    """As TVM's own builder, which first parses the tensor instructions of all GPUs: minutes for each worker."""
    from tvm.driver import build
    from tvm.s_tir.transform import RemoveWeightLayoutRewriteBlock

    return build(RemoveWeightLayoutRewriteBlock(skip_tensor_rewrite=True)(module), target=target)


def _target(**more: int) -> tuple[Any, dict[str, Any]]:
    """The processor to compile for, and its name, lanes and registers."""
    import tvm

    name = os.environ.get(CPU) or tvm.get_global_func("target.llvm_get_system_cpu")()
    cores = {"num-cores": more["cores"]} if more else {}
    target = tvm.target.Target({"kind": "llvm", "mcpu": name, **cores})
    has = tvm.get_global_func("target.llvm_cpu_has_feature")
    sets = (
        ("avx512f", "AVX-512", 16, 32),
        ("avx2", "AVX2", 8, 16),
        ("neon", "NEON", 4, 32),
        ("sse2", "SSE2", 4, 16),
    )
    for feature, word, lanes, registers in sets:
        if has(feature, target):
            return target, {"cpu": f"{name} ({word})", "lanes": lanes, "registers": registers}
    raise BackendError(f"TVM's LLVM knows no vectors of the processor {name!r}; set {CPU}")


def _aligned(array: Array) -> Array:
    raw = np.empty(array.nbytes + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    placed: Array = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    placed[...] = array
    return placed


def _main(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m {_NAME}", description="Tune by TVM's own tuner.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--log", type=Path, required=True, help="directory of the records")
    parser.add_argument("--trials", type=int, required=True, help="schedules to measure, in all")
    asked = parser.parse_args(given)
    try:
        tune(asked.model, asked.log, asked.trials)
    except OrpheusError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
