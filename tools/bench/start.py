#!/usr/bin/env python3
"""What starting sagesan takes beside an empty program that is linked to the same libraries.

    scripts/bench --start [--rounds 21]

Milliseconds, medians over the rounds, in each of which all run by turns: `evaluate`, which loads libtorch and then finds no
model, and `--version`, which does not load it. Needs a C++ compiler.
"""
import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import whole_runs


def libraries(file):
    """Those that it names, as a linker takes them, and where they are looked for."""
    found = subprocess.run(["readelf", "-d", file], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"NEEDED.*\[(.*)\]", found)
    paths = re.search(r"RUNPATH.*\[(.*)\]", found)[1].replace("$ORIGIN", str(file.parent)).strip(":").split(":")
    return [f"-l:{name}" for name in names if not name.startswith("ld-")] + [
        word for path in paths if path for word in (f"-L{path}", f"-Wl,-rpath,{path}")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--sagesan", type=Path, default=whole_runs.SAGESAN)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        source = Path(work) / "empty.cpp"
        source.write_text("int main() {}\n")
        commands = {}
        for name, file, words in (("evaluate", args.sagesan.with_name("libsagesan_jobs.so"),
                                   ["evaluate", "--model", work, "--data", f"x={source}"]),
                                  ("--version", args.sagesan, ["--version"])):
            empty = Path(work) / f"empty{name}"
            subprocess.run(["c++", source, "-o", empty, "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined",
                            *libraries(file)], check=True)
            commands |= {name: [args.sagesan, *words], f"empty, with the libraries of {name}": [empty]}
        took = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                began = time.perf_counter()
                status = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
                if status != (3 if name == "evaluate" else 0):
                    sys.exit(f"{name}: unexpected exit code {status}")
                took[name].append((time.perf_counter() - began) * 1e3)
    print("| | ms |\n|---|---|")
    for name, times in took.items():
        print(f"| {name} | {statistics.median(times):.1f} |")


if __name__ == "__main__":
    main()
