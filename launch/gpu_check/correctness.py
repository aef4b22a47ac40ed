"""The steps that tell right from wrong: env, nccl, parity, tiny, sanitizer."""

import re
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import journal
import sweeps
from session import Done, Failed, Session, Skipped

PACKAGES = ("torch", "safetensors", "transformers", "tokenizers", "numpy", "nvidia-nccl-cu13")
ON_LOOPBACK = {"NCCL_DEBUG": "WARN", "NCCL_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1"}
# Each rank says that it is a host of its own: NCCL then takes two ranks on one GPU and moves data over sockets.
OWN_HOST = ["sh", "-c", 'NCCL_HOSTID=$OMPI_COMM_WORLD_RANK exec "$0" "$@"']
SKIPPED_CODE = 77
# In float32 a GPU adds in another order, and now and then the two best of a random model's tokens lie nearer than that.
MOST_DIFFERING = 0.02


# ---- env

def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def env(session: Session):
    found = versions()
    session.passed("python", ", ".join(f"{name} {number}" for name, number in found.items()), **found)
    if session.on_gpu:
        query = "name,driver_version,memory.total,compute_cap"
        card = session.run(["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"])
        session.note("driver", "failed" if card.code else "passed", card.end)
    missing = []
    files = [path for part in ("bin", "lib") for path in sorted((session.bundle.folder / part).rglob("*"))
             if path.is_file() and (part == "bin" or ".so" in path.name)]
    for path in files:
        missing += [f"{path.name} lacks {line.split()[0]}" for line in session.run(["ldd", path]).out.splitlines()
                    if "not found" in line]
    session.note("libraries", "failed" if missing else "passed",
                 "; ".join(missing) or f"all of {len(files)} programs and libraries are found", missing=missing)
    done = session.run([session.bundle.program("kvcomm"), "--version"])
    session.note("program", "failed" if done.code else "passed", " ".join(done.out.split()))


# ---- tests

def note_tests(session: Session, what: str, done: Done):
    """How a GoogleTest program ended, under mpirun or not."""
    passed, failed, left_out = (set(re.findall(rf"^\[ *{word} *\] (\w[\w/]*\.[\w/]+)", done.out, re.MULTILINE))
                                for word in ("OK", "FAILED", "SKIPPED"))
    found = [f"{len(passed)} tests passed"]
    if failed:
        found.append(f"{len(failed)} failed ({', '.join(sorted(failed))})")
    if left_out:
        found.append(f"{len(left_out)} were skipped ({', '.join(sorted(left_out))})")
    found += re.findall(r"^worst .*", done.out, re.MULTILINE)
    found += dict.fromkeys(re.findall(r"NCCL version \S+|NCCL WARN .*", done.out))
    good = done.code == 0 and passed and not failed
    if not good:
        first = re.search(r"^(\S+): Failure\n((?:.+\n){1,3})", done.out, re.MULTILINE)
        found.append(f"exit code {done.code}, " + (f"at {Path(first[1]).name}: {' '.join(first[2].split())}" if first
                                                   else f"last words: {done.end or 'none'}"))
    session.note(what, "passed" if good else "failed", "; ".join(found), code=done.code)


def nccl(session: Session):
    session.need_gpu("NCCL")
    test = session.bundle.program("comm_nccl_gpu_test")
    for what, ranks in (("a rank to itself", 1), ("two ranks on one GPU over sockets", 2)):
        command = [*session.bundle.mpirun(ranks), *(OWN_HOST if ranks > 1 else []), test]
        note_tests(session, what, session.run(command, environment=ON_LOOPBACK))


def parity(session: Session):
    for name in ("parity_test", "method_trace_test"):
        note_tests(session, name, session.run([session.bundle.program(name)]))


# ---- tiny models

def tiny_sweep(session: Session, methods: str) -> Path:
    """These methods on every tiny model."""
    models, records = session.folder / "models", session.folder / "tiny.jsonl"
    if not records.exists():
        sweeps.make_tiny_models(models)
        sweeps.write_records(records, [3, 40, 11, 25, 8, 33])
    names = [f"tiny/{folder.name}" for folder in sorted((models / "tiny").iterdir())]
    return sweeps.sweep(session.folder / "tiny.toml", names, sweeps.dataset(records, 6), methods, dtype="float32",
                        threads=1, timeout_s=30)


def note_comparison(session: Session, what: str, reference: journal.Journal, other: journal.Journal):
    found = journal.compare(reference, other)
    for line in found.answers + found.payloads:
        session.write(f"differs: {line}")
    good = (found.rows > 0 and not found.payloads and not found.missing
            and len(found.answers) <= MOST_DIFFERING * found.rows)
    words = [f"{found.equal} of {found.rows} answers equal the CPU's",
             f"{len(found.payloads)} payloads differ in bytes" if found.payloads else "bytes equal"]
    if found.missing:
        words.append(f"{found.missing} rows are missing")
    words += found.answers[:3] + found.payloads[:3]
    session.note(what, "passed" if good else "failed", "; ".join(words), equal=found.equal, of=found.rows,
                 differing=found.answers, payloads=found.payloads, missing=found.missing)


def tiny(session: Session):
    path = tiny_sweep(session, sweeps.METHODS)
    device, nccl_pair = session.device, [*session.bundle.mpirun(2), *OWN_HOST]
    # what, more settings, the number of ranks, what stands before the program in mpirun's place
    ways = [("loopback", [], 1, None), ("2 ranks over MPI", ["run.transport=mpi"], 2, None)]
    if session.on_gpu:
        ways += [("NCCL to itself", ["run.transport=nccl"], 1, None),
                 ("2 ranks over NCCL on one GPU", ["run.transport=nccl"], 2, nccl_pair)]
    for fidelity in ("paper", "release"):
        sets = [f"run.fidelity={fidelity}"]
        reference = session.kvcomm(f"tiny-{fidelity}-cpu", path, *sets, "run.device=cpu")
        session.passed(f"{fidelity}: reference on the CPU", f"{len(reference.samples)} answers")
        for number, (what, more, ranks, start) in enumerate(ways):
            try:
                other = session.kvcomm(f"tiny-{fidelity}-{number}", path, *sets, *more, f"run.device={device}",
                                       ranks=ranks, start=start, environment=ON_LOOPBACK)
                note_comparison(session, f"{fidelity}: {device}, {what}", reference, other)
            except Failed as failure:
                refused = "needs one GPU a rank" in str(failure)  # the program's own rule, no fault of the machine
                session.note(f"{fidelity}: {device}, {what}", "skipped" if refused else "failed", str(failure))
    if not session.on_gpu:
        raise Skipped("the ways over NCCL need a GPU")


# ---- compute-sanitizer

def sanitizer(session: Session):
    session.need_gpu("compute-sanitizer")
    tool = shutil.which("compute-sanitizer", path="/usr/local/cuda/bin:" + session.bundle.environment.get("PATH", ""))
    if tool is None:
        raise Skipped("compute-sanitizer is not installed here")
    memcheck = [tool, "--tool", "memcheck", "--target-processes", "all"]
    note_errors(session, "the NCCL test", session.run([*memcheck, session.bundle.program("comm_nccl_gpu_test")]))
    sweep = tiny_sweep(session, sweeps.TWO_METHODS)
    note_errors(session, "a tiny run", session.run(
        [*memcheck, session.bundle.program("kvcomm"), "run", sweep, "--output", session.folder / "sanitized",
         "--pair", "0", "--limit", "2", "--set", "run.device=cuda"]))


def note_errors(session: Session, what: str, done: Done):
    counts = re.findall(r"ERROR SUMMARY: (\d+) errors?", done.out)
    clean = done.code == 0 and counts and not any(map(int, counts))
    kinds = dict.fromkeys(re.findall(r"^=+ ((?:Invalid|Program hit|Misaligned|Leaked).*)", done.out, re.MULTILINE))
    found = [f"{sum(map(int, counts))} errors" if counts else "no summary of errors", *list(kinds)[:3]]
    if done.code:
        found.append(f"exit code {done.code}, last words: {done.end}")
    session.note(what, "passed" if clean else "failed", "; ".join(found), code=done.code)
