"""Hardware and software in a record: a GPU's driver, clocks and peak memory."""

import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from records import append_record
from shell_programs import write_program
from watching import Silent, engine_of, stop_at, train_one

from repro.errors import Stopped
from repro.experiment import Experiment
from repro.paths import Folders
from repro.runtime import Runtime
from repro.store.results import Record, every_record
from repro.training.checkpoints import checkpoint
from repro.training.checkpoints.run_history import RunHistory
from repro.training.engine.engine import Engine
from repro.training.machine import processor, provenance
from repro.training.machine.processor import VARIABLES, exact_processor
from repro.training.machine.provenance import changed, environment, machine, through

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")
Make = Callable[..., Experiment]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a script called nvidia-smi first on PATH; returns the file to which it writes its arguments."""
    monkeypatch.setattr(provenance, "device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234-abcd"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(script: str) -> Path:
        asked = tmp_path / "asked"
        write_program(tmp_path / "nvidia-smi", f'echo "$@" > {asked}\n{script}')
        return asked

    return make


def found(device: torch.device = GPU) -> dict[str, str]:
    return {name: value for name, value in machine(device).items() if name in ("driver", "clocks")}


def test_driver_and_clocks_are_read_of_the_card_that_is_used(smi: Callable[[str], Path]) -> None:
    asked = smi("echo '580.65.06, 1755, 1980'")
    assert found() == {"driver": "580.65.06", "clocks": "1755 of 1980 MHz"}
    query = "--query-gpu=driver_version,clocks.sm,clocks.max.sm --format=csv,noheader,nounits --id=GPU-1234-abcd"
    assert asked.read_text().strip() == query
    assert found(CPU) == {}
    assert set(machine(GPU)) <= {each.name for each in fields(Record)}


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("exit 6", {}),
        ("echo 'No devices were found'", {}),
        ("echo '580.65.06, [N/A], [N/A]'", {"driver": "580.65.06"}),
        ("echo '[Unknown Error], [N/A], 1980'", {}),
    ],
)
def test_what_nvidia_smi_does_not_say_is_absent(
    smi: Callable[[str], Path], script: str, answer: dict[str, str]
) -> None:
    smi(script)
    assert found() == answer


def test_a_slow_nvidia_smi_is_not_waited_for(smi: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "SMI_SECONDS", 0.5)
    smi("exec sleep 5")
    assert found() == {}


def test_without_nvidia_smi_the_facts_are_absent(smi: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(subprocess, "run", missing)
    assert found() == {}


def installed(monkeypatch: pytest.MonkeyPatch, *packages: tuple[str | None, str]) -> str:
    """Return the hash of an environment with these distributions."""
    made = [SimpleNamespace(name=name, version=version) for name, version in packages]
    monkeypatch.setattr(provenance, "distributions", lambda: made)
    return environment.__wrapped__()


def test_the_hash_of_an_environment_tells_versions_and_not_spellings(monkeypatch: pytest.MonkeyPatch) -> None:
    one = installed(monkeypatch, ("torch", "2.11"), ("typing_extensions", "4"))
    assert re.fullmatch("[0-9a-f]{12}", one)
    broken = (None, "1")
    assert installed(monkeypatch, ("Typing-Extensions", "4"), broken, ("torch", "2.11"), ("torch", "2.11")) == one
    assert installed(monkeypatch, ("torch", "2.12"), ("typing_extensions", "4")) != one
    assert installed(monkeypatch, ("torch", "2.11")) != one


def test_host_and_environment_of_both_machines_are_recorded() -> None:
    now = machine(CPU)
    assert (now["host"], now["environment"]) == (socket.gethostname(), environment())
    before = {**now, "host": "node1", "environment": "0123456789ab"}
    joined = through(before, now)
    assert (joined["host"], joined["environment"]) == (f"node1; {now['host']}", f"0123456789ab; {now['environment']}")
    older = {name: value for name, value in now.items() if name not in ("host", "environment")}
    assert through(older, now) == now


def test_a_changed_driver_is_recorded_with_the_former_one() -> None:
    before, now = {"driver": "570.1", "clocks": "345 of 1980 MHz"}, {"driver": "580.2", "clocks": "345 of 1980 MHz"}
    assert through(before, now) == {"driver": "570.1; 580.2", "clocks": "345 of 1980 MHz"}
    assert through({"torch": "2.11"}, now) == {"torch": "2.11", **now}


@pytest.mark.usefixtures("small_digits")
def test_the_peak_of_all_sessions_is_recorded(tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, peaks = Runtime(device="cpu"), {1: 3 << 30, 2: 1 << 30}
    assert engine_of(tiny()).peak_bytes is None
    monkeypatch.setattr(Engine, "peak_bytes", property(lambda engine: peaks.get(engine.run_histories[0].sessions)))
    with pytest.raises(Stopped):
        train_one(tiny(), runtime, folders, stop_at(3))
    saved = checkpoint.load(folders.runs / tiny().name / checkpoint.NEWEST)
    assert saved.peak_bytes == 3 << 30
    assert train_one(tiny(), runtime, folders, Silent()).peak_bytes == 3 << 30
    assert every_record(folders.results)[0].peak_bytes == 3 << 30


def test_records_from_before_these_fields_are_read_and_kept(folders: Folders, record: Callable[..., Record]) -> None:
    old = record()
    append_record(old, folders.results)
    path = folders.results / "runs.csv"
    header, line = path.read_text().splitlines()
    fields = ",driver,clocks,peak_bytes,network,host,environment,tests,ap,ap50,processor"
    assert header.endswith(fields)
    path.write_text(f"{header.removesuffix(fields)}\n{line.rsplit(',', fields.count(','))[0]}\n")
    assert every_record(folders.results) == [old]
    new = replace(
        old,
        seed=1,
        started="2026-02-01T00:00:00+00:00",
        driver="580.2",
        clocks="345 of 1980 MHz",
        peak_bytes=1 << 30,
        host="node7",
        environment="0123456789ab",
    )
    append_record(new, folders.results)
    assert every_record(folders.results) == [old, new]


def test_the_peak_of_this_session_counts_if_it_is_higher() -> None:
    run = RunHistory(Runtime(), {}, "2026-02-01T00:00:00+00:00", earlier_peak=2 << 30)
    assert [run.peak_bytes(now) for now in (1 << 30, 3 << 30, None)] == [2 << 30, 3 << 30, 2 << 30]
    assert replace(run, over=True).peak_bytes(3 << 30) == 2 << 30


def test_the_processor_is_told_with_its_instructions_and_what_restricts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    about = {"vendor_id": "GenuineIntel", "cpu family": "6", "model": "143", "flags": "avx2 avx512_bf16 amx_bf16"}
    monkeypatch.setattr(processor, "_first_processor", lambda: about)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    exact = "vendor_id GenuineIntel, cpu family 6, model 143, AVX512, avx512_bf16, amx_bf16"
    assert machine(CPU)["processor"] == exact
    for name in VARIABLES:
        monkeypatch.setenv(name, "x")
    assert exact_processor() == f"{exact}, {', '.join(f'{name}=x' for name in VARIABLES)}"
    monkeypatch.setattr(processor, "_first_processor", dict)
    assert exact_processor().startswith("AVX512, ATEN_CPU_CAPABILITY=x")


def test_this_processor_has_a_model() -> None:
    assert re.match(r"vendor_id \w+, cpu family \d+, model \d+|CPU implementer ", exact_processor())


@pytest.mark.usefixtures("small_digits")
def test_a_run_that_resumes_under_what_changes_bits_says_so_once(
    tiny: Make, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(stop: int, **switches: bool) -> list[str]:
        watcher = stop_at(stop)
        with pytest.raises(Stopped):
            train_one(tiny(), Runtime(device="cpu", **switches), folders, watcher)
        return [line for line in watcher.said if "bit-identical" in line]

    assert session(1) == session(2) == []
    before = exact_processor()
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    other = f"processor {before}, MKL_CBWR=COMPATIBLE instead of {before}"
    end = "; its result will not be bit-identical to that of an uninterrupted run"
    assert session(3) == [f"warning: {tiny().name} resumes with {other}{end}"]
    assert session(4) == []
    layout = f"warning: {tiny().name} resumes with channels_last False instead of True{end}"
    assert session(5, channels_last=False) == [layout]
    monkeypatch.setattr(provenance, "device_name", lambda device: "CPU, 9 threads")
    watcher = Silent()
    record = train_one(tiny(), Runtime(device="cpu", channels_last=False), folders, watcher)
    assert any("resumes with device CPU, 9 threads instead of CPU " in line for line in watcher.said)
    assert record.processor == f"{before}; {before}, MKL_CBWR=COMPATIBLE"
    assert every_record(folders.results) == [record]


def test_older_checkpoints_and_other_devices_need_no_warning() -> None:
    now = {"device": "CPU, 2 threads", "torch": "2.11", "processor": "x, AVX2"}
    assert changed({}, now) == changed(now, now) == changed({"device": now["device"]}, now) == []
    assert changed(now, {"device": "H100", "torch": "2.11"}) == ["device H100 instead of CPU, 2 threads"]
    assert changed({**now, "torch": "2.10; 2.11"}, now) == []


def test_the_last_of_several_sessions_is_compared_with() -> None:
    one, other = {"device": "CPU, 1 thread"}, {"device": "CPU, 2 threads"}
    back_again = through(through(one, other), one)
    assert back_again == {"device": "CPU, 2 threads; CPU, 1 thread"}
    assert changed(back_again, one) == []
    assert changed(back_again, other) == ["device CPU, 2 threads instead of CPU, 1 thread"]
