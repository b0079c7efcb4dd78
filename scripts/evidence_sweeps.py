#!/usr/bin/env python3
"""Tries ways to sanitize on many unlearned models and keeps what came of each: the data of docs/evidence.md.

    scripts/evidence_sweeps.py PAIRS [PAIRS ...] [--grid main|weak|strong|prose|energies|others|token-cap]
        [--methods ga,npo] [--threads N]

PAIRS is a directory as scripts/smollm2_unlearn.py and build/release/sagesan_make_pairs write it: base, a directory for
each unlearned model, forget.jsonl, retain.jsonl, heldout.jsonl and, where there is one, paraphrase.jsonl. Several of
them are seeds of one study. PAIRS/evidence/GRID/METHOD.json is written for each unlearned model, and nothing is done
for one that is there already: a run that was cut off goes on where it was. scripts/evidence_tables.py makes the tables.

The moments come from retain.jsonl. Every other record of forget.jsonl and heldout.jsonl, from the first, is what knobs
are chosen on (forget records also anchor forget-aware solving, and are chosen on in both wordings where there are
paraphrases). What is reported comes from the rest: forgetting from the paraphrases of the other forget records (from
these themselves where there are none), retention from the other held-out ones. All of them are judged in one sweep,
text by text. In the grid `prose` retention is that of English which has nothing to do with any of these records:
Python's own help.

Needs no package; on one core about 5 seconds a candidate for SmolLM2-135M, less than a tenth for the pair maker's.
Several runs with --threads 1 beside one another take less time than one after the other.
"""
import argparse
import json
import pydoc_data.topics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STRENGTHS = ["--strengths", "0.3,1,3,10,30"]
GRIDS = {
    "main": ["--methods", "sage,ridge,forget-aware,random,rollback", "--gains", "1,1.5", "--shares",
             "0.1,0.2,0.4,0.7", *STRENGTHS],
    "weak": ["--methods", "sage,ridge,forget-aware,random", "--gains", "1,1.5", "--strengths", "0.03,0.1"],
    "strong": ["--methods", "sage,ridge,forget-aware", "--gains", "1,1.5", "--strengths", "100"],
    "prose": ["--methods", "sage,forget-aware", "--gains", "1,1.5", "--strengths", "1,3,10,30"],
    "energies": ["--methods", "sage", "--energies", "0.9,0.95,0.99,1", "--gains", "1", *STRENGTHS],
    "others": ["--methods", "sage,ridge,scale", "--others", "shrink,keep", "--gains", "1", *STRENGTHS],
    "token-cap": ["--methods", "sage", "--gains", "1", "--token-cap", "3", *STRENGTHS],
}


def records(path):
    return path.read_text(encoding="utf-8").splitlines(keepends=True)


def write(path, lines):
    path.write_text("".join(lines), encoding="utf-8")
    return path


def prose(path):
    """The beginnings of eight topics of Python's help, about 2,000 tokens."""
    long = [text for _, text in sorted(pydoc_data.topics.topics.items()) if len(text) > 4000][:8]
    return write(path, [json.dumps({"text": text[:1100]}) + "\n" for text in long])


def try_all(sagesan, pair, unlearned, grid, threads, work):
    """What `sagesan sweep` says. Its last forget losses, half as many as there are records, belong to the report."""
    forget, paraphrases = records(pair / "forget.jsonl"), pair / "paraphrase.jsonl"
    other = records(paraphrases) if paraphrases.exists() else []
    kept = prose(work / "prose.jsonl") if grid == "prose" else pair / "heldout.jsonl"
    command = [sagesan, "sweep", "--quiet", "--base", pair / "base", "--unlearned", unlearned,
               "--retain", pair / "retain.jsonl", "--forget", write(work / "anchor.jsonl", forget[0::2]),
               "--forget-eval", write(
                   work / "forget.jsonl", forget[0::2] + (other[0::2] + other[1::2] or forget[1::2])),
               "--retain-eval", kept, "--json", "-", *GRIDS[grid]]
    if threads:
        command += ["--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--grid", choices=GRIDS, default="main")
    parser.add_argument("--sagesan", type=Path, default=ROOT / "build/release/sagesan", help="the program, default %(default)s")
    parser.add_argument("--methods", help="comma-separated; default: all that are there")
    parser.add_argument("--threads", type=int, help="of sagesan; default: its own")
    args = parser.parse_args()
    for pair in args.pairs:
        found = sorted(path.name for path in pair.iterdir() if (path / "config.json").exists()
                       and path.name not in ("base", "retrained") and not path.name.endswith(("_half", "_sanitized")))
        for method in args.methods.split(",") if args.methods else found:
            target = pair / "evidence" / args.grid / f"{method}.json"
            if target.exists():
                continue
            with tempfile.TemporaryDirectory() as work:
                result = try_all(args.sagesan, pair, pair / method, args.grid, args.threads, Path(work))
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            partial.write_text(json.dumps(result) + "\n")
            partial.rename(target)
            print(f"{pair.name}: {args.grid}: {method}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
