#!/usr/bin/env python3
"""What ten strengths cost beside one: `sagesan sweep` and `sanitize` on SmolLM2-135M, every tensor changed.

    scripts/bench --strengths [--rounds 3]

204 retain texts of 40 tokens, energy 0.95; forgetting and retention are judged on one text of 40 tokens each, so that hardly
any of the time is evaluation. A sweep also has eight scalings and the hard projection. Seconds are medians over the rounds,
in each of which all run by turns.
"""
import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

import whole_runs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    base = whole_runs.BASE
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        path = Path(work)
        # What is judged must look forgotten.
        whole_runs.apart(whole_runs.make_unlearned, base, path / "unlearned", "all", 0.1)
        whole_runs.apart(whole_runs.write_retain, base, path / "retain.jsonl", 204, 40)
        whole_runs.apart(whole_runs.write_retain, base, path / "judged.jsonl", 1, 40)
        options = ["--quiet", "--base", base, "--unlearned", path / "unlearned", "--retain", path / "retain.jsonl", "--threads",
                   str(args.threads)]
        sweep = [whole_runs.SAGESAN, "sweep", *options, "--forget", path / "judged.jsonl", "--retain-eval",
                 path / "judged.jsonl", "--methods", "sage", "--gains", "1", "--strengths"]
        commands = {"sanitize, one strength": [whole_runs.SAGESAN, "sanitize", *options, "--out", path / "out"],
                    "sweep, one strength": [*sweep, "1"],
                    "sweep, ten strengths": [*sweep, "0.1,0.2,0.5,1,2,3,5,10,20,30"]}
        seconds = {name: [] for name in commands}
        for _ in range(args.rounds):
            for name, command in commands.items():
                seconds[name].append(whole_runs.run(command, args.threads)[0])
                shutil.rmtree(path / "out", ignore_errors=True)
    print("| | seconds | of one sanitize |\n|---|---|---|")
    for name, own in seconds.items():
        ratio = statistics.median(time / one for time, one in zip(own, seconds["sanitize, one strength"]))
        print(f"| {name} | {statistics.median(own):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
