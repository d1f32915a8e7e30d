"""The cores and the memory that a process may use: real control groups where this machine lets us
make them, and folders like those of the other version."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hunyuan_runner.machine import building, cgroup, host
from hunyuan_runner.machine.instructions import Instructions, available
from hunyuan_runner.quoting.profile import machine_key

MB = 2**20


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Path, Path]:
    """An empty hierarchy, and the file that says where in it the process is."""
    return tmp_path / "fs", tmp_path / "membership"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_a_container_of_version_2_has_its_limits_at_the_root(groups: tuple[Path, Path]) -> None:
    root, membership = groups
    membership.write_text("0::/\n")
    write(root, cpu__max="150000 100000", memory__max=str(800 * MB), memory__current=str(700 * MB))
    write(root, memory__stat=f"anon 1\ninactive_file {50 * MB}\nactive_file {25 * MB}")
    assert cgroup.cpu_quota(*groups) == 1.5
    assert cgroup.memory_limit(*groups) == 800 * MB
    assert cgroup.available_memory(*groups) == 175 * MB


def test_a_service_of_systemd_is_limited_by_each_level_above_it(groups: tuple[Path, Path]) -> None:
    root, membership = groups
    membership.write_text("0::/system.slice/hunyuan.service\n")
    write(root / "system.slice", cpu__max="200000 100000", memory__max="max")
    write(root / "system.slice/hunyuan.service", cpu__max="max 100000", memory__max=str(900 * MB))
    write(root / "system.slice/hunyuan.service", memory__current="0", memory__stat="anon 0")
    assert cgroup.cpu_quota(*groups) == 2
    assert cgroup.memory_limit(*groups) == 900 * MB


def test_a_container_of_version_1_sees_its_limits_below_paths_of_the_host(
    groups: tuple[Path, Path],
) -> None:
    root, membership = groups
    membership.write_text("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    write(root / "cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    write(
        root / "memory",
        memory__limit_in_bytes=str(800 * MB),
        memory__usage_in_bytes=str(700 * MB),
        memory__stat=f"active_file 7\ntotal_inactive_file {60 * MB}\ntotal_active_file {40 * MB}",
    )
    assert cgroup.cpu_quota(*groups) == 0.5
    assert cgroup.memory_limit(*groups) == 800 * MB
    assert cgroup.available_memory(*groups) == 200 * MB


@pytest.mark.parametrize("quota", ["max 100000", "-1"])
def test_no_limit_is_none(groups: tuple[Path, Path], quota: str) -> None:
    root, membership = groups
    membership.write_text("4:memory:/\n1:cpu:/\n0::/\n")
    write(root, cpu__max=quota)
    write(root / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(root / "memory", memory__limit_in_bytes=str(0x7FFFFFFFFFFFF000))
    assert cgroup.cpu_quota(*groups) is None
    assert cgroup.memory_limit(*groups) is None
    assert cgroup.available_memory(*groups) is None


def test_outside_linux_there_is_no_limit(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert cgroup.cpu_quota(nowhere, nowhere) is None
    assert cgroup.memory_limit(nowhere, nowhere) is None


@pytest.fixture
def real_group() -> Iterator[list[Path]]:
    """A control group of this machine for the CPU and one for memory, which may be the same."""
    made = []
    try:
        for top in {cgroup.ROOT / "cpu", cgroup.ROOT / "memory"}:
            group = (top if top.is_dir() else cgroup.ROOT) / f"hunyuan-test-{os.getpid()}"
            try:
                group.mkdir(exist_ok=True)
            except OSError as error:
                pytest.skip(f"control groups cannot be made here: {error}")
            made.append(group)
        yield made
    finally:
        for group in made:
            if group.exists():
                group.rmdir()


def test_a_process_in_a_real_group_uses_what_that_allows(real_group: list[Path]) -> None:
    limit = 300 * MB
    for group in real_group:
        for name, value in {
            "cpu.max": "100000 100000",
            "cpu.cfs_quota_us": "100000",
            "memory.max": str(limit),
            "memory.limit_in_bytes": str(limit),
        }.items():
            if (group / name).exists():
                (group / name).write_text(value)
    code = (
        "import os, sys\n"
        "for group in sys.argv[1:]:\n"
        "    open(f'{group}/cgroup.procs', 'w').write(str(os.getpid()))\n"
        "from hunyuan_runner.machine import host\n"
        "print(host.usable_cores(), host.memory_bytes(), host.available_memory_bytes())\n"
    )
    command = [sys.executable, "-c", code, *map(str, real_group)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cores, memory, available = map(int, done.stdout.split())
    assert cores == 1
    assert memory == limit
    assert 0 < available < limit


def test_threads_of_one_core_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 4})
    for cpu, siblings in {0: "0,4", 1: "1,5", 2: "2,6", 4: "0,4"}.items():
        write(tmp_path / "cpu" / f"cpu{cpu}" / "topology", thread_siblings_list=siblings)
    assert host.usable_cores() == min(3, int(cgroup.cpu_quota() or 3))


GRAVITON3 = """\
processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt \
fcma lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs paca pacg \
dcpodp svei8mm svebf16 i8mm bf16 dgh rng
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1
"""


def test_an_arm_cpu_has_a_name_and_its_instruction_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "CPUINFO", tmp_path / "cpuinfo")
    host.CPUINFO.write_text(GRAVITON3)
    assert host.cpu_name() == "Neoverse V1"
    assert available(host.cpu_flags()) == [Instructions.NEON_I8MM, Instructions.NEON_DOTPROD]
    older = GRAVITON3.replace(" i8mm", "").replace("0xd40", "0xfff")
    host.CPUINFO.write_text(older)
    assert host.cpu_name() == "Arm CPU 0x41 0xfff"
    assert available(host.cpu_flags()) == [Instructions.NEON_DOTPROD]


EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
flags\t\t: fpu avx2 avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16

"""


def test_generations_of_cpus_that_a_cloud_calls_by_one_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "CPUINFO", tmp_path / "cpuinfo")
    host.CPUINFO.write_text(EPYC.format(family=25, model=17) * 2)
    zen4, key, flags = host.cpu_name(), machine_key(2), host.cpu_flags()
    host.CPUINFO.write_text(EPYC.format(family=26, model=2) * 2)
    assert (zen4, host.cpu_name()) == (
        "AMD EPYC (family 25, model 17)",
        "AMD EPYC (family 26, model 2)",
    )
    assert host.cpu_flags() == flags
    assert machine_key(2) != key  # so that one's speed is not taken for the other's


def test_threads_of_a_child_wait_asleep_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert host.environment_of_child()["GOMP_SPINCOUNT"] == host.SPINS
    monkeypatch.setenv("GOMP_SPINCOUNT", "300000")
    assert host.environment_of_child()["GOMP_SPINCOUNT"] == "300000"


def test_the_kernels_of_this_machine_are_built_ahead_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "PREBUILT", tmp_path)
    monkeypatch.setattr(building, "cpu_flags", lambda: Instructions.AVX2.flags)
    monkeypatch.setattr(building, "build", lambda library, _: library.touch())
    building.build_here(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / building.library_name(Instructions.AVX2)]
    monkeypatch.delattr(building, "build")
    building.build_here(tmp_path)


def test_a_machine_that_cannot_build_kernels_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(building, "PREBUILT", tmp_path)
    monkeypatch.setattr(building, "cpp_compiler", lambda: None)
    for flags in (frozenset(), Instructions.AVX2.flags):
        monkeypatch.setattr(building, "cpu_flags", lambda flags=flags: flags)
        building.build_here(tmp_path)
    assert "install g++" in caplog.text
    assert list(tmp_path.iterdir()) == []
